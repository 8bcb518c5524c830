"""Prefix beam search finds the probabilities of texts over all their paths."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.text.beam import BEAMS, beam_search


def text_of(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one for one, before in zip(path, (0, *path), strict=False) if one and one != before)


@given(seed=st.integers(0, 1 << 30), frames=st.integers(1, 4), temperature=st.sampled_from([0.7, 1.0, 2.0]))
def test_probabilities_are_sums_over_all_paths(seed, frames, temperature):
    logits_TC = np.random.default_rng(seed).normal(0, 1, (frames, 3))
    p_TC = np.exp(logits_TC / temperature)
    p_TC /= p_TC.sum(1, keepdims=True)
    wanted: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(3), repeat=frames):
        wanted[text_of(path)] += float(np.prod([p_TC[t, each] for t, each in enumerate(path)]))
    found = beam_search(logits_TC, temperature)
    if len(wanted) <= BEAMS:
        for text, p in found:
            assert p == pytest.approx(wanted[text], abs=2e-3)  # outputs of next to no probability are not followed
        assert sum(p for _, p in found) == pytest.approx(1, abs=5e-3)
    best, probability = found[0]
    assert wanted[best] == pytest.approx(max(wanted.values()), rel=0.05) and probability <= wanted[best] + 1e-9


def test_no_frames_have_one_empty_text():
    assert beam_search(np.zeros((0, 3))) == [((), 1.0)]
