"""How far readings are from their labels: sums that are added over batches and ranks, and divided once at the end.

Readings and labels must be normalised by the script profile already. Lengths are in characters (code points).
"""

from collections import Counter

import numpy as np
from rapidfuzz.distance import Levenshtein

# the upper ends of the length ranges: every length up to ten has a range of its own
LENGTH_RANGES = (*range(1, 11), 20, 40, 80, 1 << 30)
FIELDS = ("samples", "exact", "edits", "reference_chars", "normalised_edits")


def build_counts(subsets: int) -> np.ndarray:
    """Empty counts: float64 (subsets, length ranges, fields)."""
    return np.zeros((subsets, len(LENGTH_RANGES), len(FIELDS)))


def count_reading(
    counts: np.ndarray, confusions: Counter[tuple[str, str]], subset: int, prediction: str, label: str
) -> None:
    """Add one reading.

    Args:
        counts: see `build_counts`.
        confusions: counts of (the label's letter, the letter read). A letter that was left out is read as ""; one that
            was inserted has "" in the label.
        subset: the sample's subset, as a row of `counts`.
        prediction: the text of the reading.
        label: what the image shows.

    Raises:
        ValueError: the label is empty; every empty reading would be right.
    """
    if not label:
        raise ValueError("a reference label is empty")
    edits = 0
    if prediction != label:
        for edit in Levenshtein.editops(label, prediction):
            edits += 1
            wanted = "" if edit.tag == "insert" else label[edit.src_pos]
            read = "" if edit.tag == "delete" else prediction[edit.dest_pos]
            confusions[wanted, read] += 1
    length_range = int(np.searchsorted(LENGTH_RANGES, len(label)))
    longer = max(len(label), len(prediction))
    counts[subset, length_range] += (1, prediction == label, edits, len(label), edits / longer)


def scores_of(sums: np.ndarray) -> dict[str, float]:
    """Sums (..., fields) to scores over all of them: word_accuracy, cer, one_minus_ned as fractions, and samples."""
    # plain floats, because they go into checkpoints
    samples, exact, edits, reference_chars, normalised_edits = sums.reshape(-1, len(FIELDS)).sum(0).tolist()
    return {
        "word_accuracy": exact / samples if samples else 0.0,
        "cer": edits / reference_chars if reference_chars else 0.0,
        "one_minus_ned": 1 - normalised_edits / samples if samples else 0.0,
        "samples": int(samples),
    }


def scores_by_length(sums: np.ndarray) -> dict[str, dict[str, float]]:
    """Sums (..., length ranges, fields) to the scores of each range that holds a sample."""
    by_range = sums.reshape(-1, len(LENGTH_RANGES), len(FIELDS)).sum(0)
    return {name: scores_of(row) for name, row in zip(length_range_names(), by_range, strict=True) if row[0]}


def length_range_names() -> list[str]:
    """As they are shown: "3", "11-20", "81+"."""
    names, lower = [], 1
    for upper in LENGTH_RANGES:
        open_ended = upper == LENGTH_RANGES[-1]
        names.append(f"{lower}+" if open_ended else str(upper) if upper == lower else f"{lower}-{upper}")
        lower = upper + 1
    return names
