"""Which words synth draws."""

import sys
from collections import Counter

import numpy as np
import pytest

from horovod_ocr.synth.lexicon import URDU_ALPHABET, URDU_FINAL_ONLY, lexicon_words, random_words
from sharding.errors import ConfigError
from sharding.format.script.profile import build_profile


@pytest.fixture(scope="module")
def lexicon() -> list[str]:
    return lexicon_words(build_profile("urdu"))


def random_of_seed(seed: int, n: int, **options) -> list[str]:
    return random_words(np.random.default_rng(seed), n, **options)


def test_alphabet_is_45_letters_that_the_profile_knows_and_keeps():
    profile = build_profile("urdu")
    assert len(set(URDU_ALPHABET)) == len(URDU_ALPHABET) == 45
    assert profile.unknown(URDU_ALPHABET) == ()
    assert profile.normalise(URDU_ALPHABET) == URDU_ALPHABET
    assert set(URDU_FINAL_ONLY) < set(URDU_ALPHABET)


@pytest.mark.slow
def test_lexicon_is_normalised_distinct_short_and_of_the_alphabet(lexicon):
    profile = build_profile("urdu")
    assert len(lexicon) > 10_000
    assert len(set(lexicon)) == len(lexicon)
    assert all(1 <= len(word) <= 5 and set(word) <= set(URDU_ALPHABET) for word in lexicon)
    assert all(profile.normalise(word) == word for word in lexicon)
    assert lexicon == lexicon_words(profile)


def test_lexicon_of_fewer_letters_is_the_short_part_of_the_whole(lexicon):
    assert lexicon_words(build_profile("urdu"), 3) == [word for word in lexicon if len(word) <= 3]


def test_another_script_is_refused():
    with pytest.raises(ConfigError, match="urdu words, not thai"):
        lexicon_words(build_profile("thai"))


def test_without_wordfreq_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    with pytest.raises(ConfigError, match=r"pip install 'horovod-ocr\[synth\]'"):
        lexicon_words(build_profile("urdu"))


def test_random_words_are_distinct_and_never_of_the_lexicon(lexicon):
    words = random_of_seed(3, 20_000, exclude=lexicon)
    assert len(set(words)) == len(words) == 20_000
    assert set(words).isdisjoint(lexicon)
    assert all(1 <= len(word) <= 5 for word in words)


def test_final_only_letters_stand_last(lexicon):
    words = random_of_seed(4, 5_000, exclude=lexicon)
    assert all(set(URDU_FINAL_ONLY).isdisjoint(word[:-1]) for word in words)
    assert {word[-1] for word in words} == set(URDU_ALPHABET)


@pytest.mark.parametrize("max_letters", [4, 5, 8])
def test_every_letter_is_about_as_frequent(lexicon, max_letters):
    letters = Counter("".join(random_of_seed(5, 20_000, exclude=lexicon, max_letters=max_letters)))
    assert set(letters) == set(URDU_ALPHABET)
    assert max(letters.values()) < 1.3 * min(letters.values())


def test_first_letters_say_nothing_about_last_ones(lexicon):
    words = [word for word in random_of_seed(6, 20_000, exclude=lexicon) if len(word) > 2]
    same = sum(word[0] == word[-1] for word in words) / len(words)
    assert same < 0.04  # by chance: (1 - 0.46) / 40


def test_more_long_words_than_short_ones(lexicon):
    lengths = Counter(map(len, random_of_seed(7, 20_000, exclude=lexicon)))
    assert lengths[1] < lengths[2] < lengths[3] < lengths[4] <= 1.1 * lengths[5]


def test_random_words_follow_from_the_seed_and_shorter_lists_are_their_beginning(lexicon):
    words = random_of_seed(8, 10_000, exclude=lexicon)
    assert random_of_seed(8, 100, exclude=lexicon) == words[:100]
    assert random_of_seed(8, 5_000, exclude=lexicon) == words[:5_000]
    assert random_of_seed(9, 100, exclude=lexicon) != words[:100]


def test_more_words_than_there_are_is_an_error_that_says_how_many(lexicon):
    free = 45 - len([word for word in lexicon if len(word) == 1])
    with pytest.raises(ConfigError, match=f"only about {free} random words of at most 1 letters"):
        random_of_seed(0, 45, exclude=lexicon, max_letters=1)
    assert random_of_seed(0, 0) == []
