"""Which words are drawn: those of a word list, and random letter strings.

The random strings show the rare letters (ۓ ژ ۃ ۂ) as often as the common ones, and keep a model from learning the word
list instead of the letters.
"""

import numpy as np

from sharding.errors import ConfigError
from sharding.format.script.profile import ScriptProfile

URDU_ALPHABET = "اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤہۂۃھءیئےۓ"
URDU_FINAL_ONLY = "ںۂۃۓے"  # they only end words; inside a word their glyph is that of another letter

MAX_LETTERS = 11  # a word is handled as one number, and this many letters of the alphabet fit into 64 bits

# the words of each length (1 to 5 letters) in wordfreq's list. Random words have the same proportions; longer ones are
# as frequent as its longest
_LENGTH_WEIGHTS = (42, 473, 2565, 5917, 6125)
_DRAW = 4096  # words drawn at a time; constant, so that the first n words are the same for every n
_FRUITLESS_DRAWS = 50  # in a row without a new word: there are probably no more


def lexicon_words(profile: ScriptProfile, max_letters: int = 5) -> list[str]:
    """The distinct words of wordfreq's list with at most `max_letters` letters, normalised, the most frequent first.

    Only words that consist of the letters of `URDU_ALPHABET`.

    Raises:
        ConfigError: the profile is not urdu, or wordfreq is not installed.
    """
    check_profile(profile)
    try:
        import wordfreq  # an optional package, and its import loads tables
    except ImportError as error:
        raise ConfigError("synth takes its words from wordfreq: pip install 'horovod-ocr[synth]'") from error
    letters = set(URDU_ALPHABET)
    normalised = (profile.normalise(word) for word in wordfreq.iter_wordlist("ur"))
    return list(dict.fromkeys(word for word in normalised if 0 < len(word) <= max_letters and letters.issuperset(word)))


def random_words(
    rng: np.random.Generator,
    n: int,
    *,
    max_letters: int = 5,
    exclude: list[str] | tuple[str, ...] = (),
    alphabet: str = URDU_ALPHABET,
    final_only: str = URDU_FINAL_ONLY,
) -> list[str]:
    """`n` distinct strings of letters, in which every letter is about as frequent.

    With the same state of the generator, the first n words are the same for every n.

    Args:
        rng: what they are drawn from.
        n: how many.
        max_letters: they have 1 to this many letters.
        exclude: words that are not drawn.
        alphabet: the letters.
        final_only: letters that are only drawn at the end of a word.

    Raises:
        ConfigError: there are not as many such words.
    """
    if not 1 <= max_letters <= MAX_LETTERS:
        raise ConfigError(f"max_letters is {max_letters}; it must be from 1 to {MAX_LETTERS}")
    letters = "".join(letter for letter in alphabet if letter not in final_only) + final_only
    excluded = np.unique(_encode(exclude, letters, max_letters))
    words = np.empty(0, np.int64)
    fruitless = 0
    while len(words) < n:
        drawn = _draw(rng, letters, len(final_only), max_letters)
        for _ in range((n - len(words)) // _DRAW):  # as many as are certainly needed, before repeats are looked for
            drawn = np.concatenate([drawn, _draw(rng, letters, len(final_only), max_letters)])
        grown = np.concatenate([words, drawn[~np.isin(drawn, excluded)]])
        grown = grown[np.sort(np.unique(grown, return_index=True)[1])]
        fruitless = fruitless + 1 if len(grown) == len(words) else 0
        words = grown
        if fruitless == _FRUITLESS_DRAWS:
            raise ConfigError(
                f"there are only about {len(words)} random words of at most {max_letters} letters, not {n}; "
                "ask for fewer words, longer ones, or a larger lexicon share"
            )
    return _decode(words[:n], letters)


def check_profile(profile: ScriptProfile) -> None:
    """Raises ConfigError for a profile whose words synth cannot draw."""
    if profile.name != "urdu":
        raise ConfigError(f"synth draws urdu words, not {profile.name}; leave the profile at urdu")


def _draw(rng: np.random.Generator, letters: str, final_only: int, max_letters: int) -> np.ndarray:
    """Codes of `_DRAW` random words, int64 (_DRAW,)."""
    base = len(letters) + 1
    inner = len(letters) - final_only
    weights = np.array([_LENGTH_WEIGHTS[min(n, len(_LENGTH_WEIGHTS)) - 1] for n in range(1, max_letters + 1)], float)
    weights /= weights.sum()
    lengths = rng.choice(np.arange(1, max_letters + 1), _DRAW, p=weights)
    # to be as frequent as the others, the letters that only end words must end them more often
    mean_length = float(weights @ np.arange(1, max_letters + 1))
    ends = rng.random(_DRAW) < min(1.0, mean_length * final_only / len(letters))
    words = rng.integers(1, inner + 1, (_DRAW, max_letters))
    if final_only:
        words[np.flatnonzero(ends), lengths[ends] - 1] = rng.integers(inner, len(letters), ends.sum()) + 1
    words[np.arange(max_letters) >= lengths[:, None]] = 0
    codes: np.ndarray = words @ base ** np.arange(max_letters)
    return codes


def _encode(words: list[str] | tuple[str, ...], letters: str, max_letters: int) -> np.ndarray:
    """Words as numbers in base len(letters) + 1, the first letter lowest. Words that cannot be drawn are left out."""
    value = {letter: i + 1 for i, letter in enumerate(letters)}
    base = len(letters) + 1
    return np.array(
        [
            sum(value[letter] * base**position for position, letter in enumerate(word))
            for word in words
            if len(word) <= max_letters and all(letter in value for letter in word)
        ],
        np.int64,
    )


def _decode(codes: np.ndarray, letters: str) -> list[str]:
    """The words of such numbers."""
    base = len(letters) + 1
    words = []
    for code in codes.tolist():
        word = ""
        while code:
            code, digit = divmod(code, base)
            word += letters[digit - 1]
        words.append(word)
    return words
