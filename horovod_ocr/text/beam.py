"""Prefix beam search: the most probable texts of an image, over all paths that spell them (Hannun et al., First-Pass
Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs, 2014).

Shapes: T frames, C outputs.
"""

from collections import defaultdict

import numpy as np

from horovod_ocr.text.charset import BLANK_ID

BEAMS = 16  # texts that are followed at once
LEAST = 1e-4  # outputs of less probability in a frame are not followed
_Ends = dict[tuple[int, ...], list[float]]  # ids so far -> probability of the paths that end in a blank, in a letter


def beam_search(logits_TC: np.ndarray, temperature: float = 1.0) -> list[tuple[tuple[int, ...], float]]:
    """Ids in reading order without blanks, and their probability, the highest first. logits_TC: of the frames that are
    not padding; their probabilities are those at this temperature."""
    scaled_TC = logits_TC.astype(np.float64) / temperature
    probabilities_TC = np.exp(scaled_TC - scaled_TC.max(1, keepdims=True))
    probabilities_TC /= probabilities_TC.sum(1, keepdims=True)
    beams: _Ends = {(): [1.0, 0.0]}
    for probabilities in probabilities_TC:
        followed = np.nonzero(probabilities >= LEAST)[0].tolist()
        beams = _next_beams(beams, [(each, float(probabilities[each])) for each in followed])
    ranked = sorted(((ids, sum(ends)) for ids, ends in beams.items()), key=lambda item: (-item[1], item[0]))
    return ranked


def _next_beams(beams: _Ends, outputs: list[tuple[int, float]]) -> _Ends:
    """The most probable beams after one more frame. outputs: (id, probability)."""
    found: _Ends = defaultdict(lambda: [0.0, 0.0])
    for ids, (in_blank, in_letter) in beams.items():
        total = in_blank + in_letter
        for output, probability in outputs:
            if output == BLANK_ID:
                found[ids][0] += total * probability
            elif ids and output == ids[-1]:
                found[ids][1] += in_letter * probability
                found[(*ids, output)][1] += in_blank * probability  # a blank parts two of the same letter
            else:
                found[(*ids, output)][1] += total * probability
    kept = sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))[:BEAMS]
    return dict(kept)
