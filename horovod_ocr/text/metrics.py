"""How far a reading is from its label: sums that can be added over batches and ranks, divided once at the end.

Both sides are normalised by the script profile before they come here. Lengths are in characters (code points).
"""

from collections import Counter

import numpy as np
from rapidfuzz.distance import Levenshtein

# upper ends of the length buckets: each length to ten for itself, then ranges
LENGTH_RANGES = (*range(1, 11), 20, 40, 80, 1 << 30)
FIELDS = ("samples", "exact", "edits", "reference_chars", "normalised_edits")


def build_counts(subsets: int) -> np.ndarray:
    """Empty counts: float64 (subsets, length buckets, fields)."""
    return np.zeros((subsets, len(LENGTH_RANGES), len(FIELDS)))


def count_reading(counts: np.ndarray, confusions: Counter, subset: int, prediction: str, label: str) -> None:
    """Add one reading. `confusions` counts (label's letter, letter read); "" stands for none: left out, or put in.

    Raises ValueError for an empty label: it would score any empty reading as right.
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
    bucket = int(np.searchsorted(LENGTH_RANGES, len(label)))
    longer = max(len(label), len(prediction))
    counts[subset, bucket] += (1, prediction == label, edits, len(label), edits / longer)


def scores_of(sums: np.ndarray) -> dict:
    """Sums (..., fields) to scores over all of them: word_accuracy, cer, one_minus_ned as fractions, and samples."""
    samples, exact, edits, reference_chars, normalised_edits = (
        sums.reshape(-1, len(FIELDS)).sum(0).tolist()
    )  # plain floats: they go into checkpoints
    return {
        "word_accuracy": exact / samples if samples else 0.0,
        "cer": edits / reference_chars if reference_chars else 0.0,
        "one_minus_ned": 1 - normalised_edits / samples if samples else 0.0,
        "samples": int(samples),
    }


def scores_by_length(sums: np.ndarray) -> dict[str, dict]:
    """Sums (..., length buckets, fields) to the scores of each bucket that holds a sample."""
    by_bucket = sums.reshape(-1, len(LENGTH_RANGES), len(FIELDS)).sum(0)
    return {name: scores_of(row) for name, row in zip(length_range_names(), by_bucket, strict=True) if row[0]}


def length_range_names() -> list[str]:
    names, lower = [], 1
    for upper in LENGTH_RANGES:
        open_ended = upper == LENGTH_RANGES[-1]
        names.append(f"{lower}+" if open_ended else str(upper) if upper == lower else f"{lower}-{upper}")
        lower = upper + 1
    return names
