"""Why a sample cannot be used: every reason there is, as a short name and as a sentence."""

from collections.abc import Mapping

REASONS = {
    "no path": "its line in the label file names no image",
    "odd row": "its line in the label file has a different number of cells than the others",
    "label is no text": "a number, a list or an object where its text should be",
    "in no label file": "it is in the source, but no label file names it",
    "no label": "nothing says what it reads",
    "no group": "the pattern of --group-from finds nothing in its path, or none of its groups takes part",
    "in no list": "none of the split lists names it",
    "listed twice": "the same line occurs earlier in the label files",
    "two labels": "the label files name it more than once, with different labels, subsets or splits",
    "missing image": "there is no such file",
    "unreadable file": "the system refuses to read it",
    "empty file": "the file has no bytes",
    "not an image": "not a PNG, JPEG, WebP, BMP or TIFF",
    "damaged image": "it cannot be decoded to its end",
    "several pictures": "an animation or a file of several pages",
    "unsupported pixels": "its pixels are not 8 or 16-bit numbers",
    "nearly black": "16-bit pixels that use less than a sixteenth of their range; convert it to 8 bits first",
    "too many pixels": "more than --max-pixels",
    "too wide": "wider, for its height, than a model can read",
    "empty label": "nothing is left after normalising",
    "label is not UTF-8": "its bytes are not UTF-8 text",
    "unknown letters": "letters that the script profile does not allow",
    "starts with a mark": "its first character belongs on a letter before it",
    "too many letters": "longer than --max-label",
    "conflicting labels": "the same image occurs with another label",
    "another text is the label": "word.gt.txt is beside it, and goes first",
    "several lines": "its text is more than one line",
    "Git LFS pointer": "only a pointer to the file is here; run: git lfs pull",
    "link in a tar": "a link to another file, and not the file itself; write the tar with --dereference",
    "damaged tar": "it is cut, empty or overwritten; everything after that place is lost",
    "outside": "it is beside the files that this layout reads",
    "label too long": "CTC needs a frame for each letter, and one more between equal neighbours",
}


class Rejected(Exception):
    """A sample that cannot be used."""

    def __init__(self, reason: str, detail: str = "", letters: Mapping[str, int] | None = None) -> None:
        """reason: a key of `REASONS`. detail: what is special about this sample. letters: those of its label that the
        profile refuses, and how often the label holds each."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.letters = letters or {}

    @property
    def explained(self) -> str:
        """The reason, and in brackets its detail, or what the reason means if the detail does not help."""
        says_nothing = not self.detail or self.reason == "not an image"  # its detail is a number of bytes
        return f"{self.reason} ({REASONS[self.reason] if says_nothing else self.detail})"
