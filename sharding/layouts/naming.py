"""Names that people give to splits and to columns, for every layout."""

import re
import unicodedata
from pathlib import Path

# The names that Hugging Face's hub knows, too.
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF_NAME = {name: split for split, names in _SPLIT_NAMES.items() for name in names}
LIST_SUFFIXES = (".txt", ".lst")  # of files that list the paths of a split
_WORDS = re.compile(r"[a-z]+")
_LABEL_FILE = re.compile(
    rb"[^/]*\.(?:tsv|csv|jsonl|xlsx)"
    rb"|(?:[^./]*[^a-z./])?(?:labels?|gt|metadata|annotations?|transcriptions?|ground_?truth|words)(?:[^a-z./][^./]*)?"
    rb"\.(?:txt|json|xml|lst)",
    re.IGNORECASE,
)

PATH_COLUMNS = (
    "path",
    "paths",
    "file",
    "files",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image",
    "images",
    "image_path",
    "image_name",
    "image_file",
    "img",
    "img_path",
    "img_name",
    "imgpath",
)
# taken for the path if there is no column of the list above
WEAK_PATH_COLUMNS = ("id", "name", "image_id", "img_id", "key")
TEXT_COLUMNS = (
    "text",
    "texts",
    "label",
    "labels",
    "transcription",
    "transcriptions",
    "transcript",
    "word",
    "words",
    "gt",
    "ground_truth",
    "groundtruth",
    "caption",
    "sentence",
    "string",
)
SPLIT_COLUMNS = ("split", "partition", "fold")
SUBSET_COLUMNS = ("subset",)


def may_be_list(name: str) -> bool:
    """Is a file named like a list of the paths of a split, such as train.txt?"""
    path = Path(name)
    return path.suffix.lower() in LIST_SUFFIXES and path.stem.lower() in SPLIT_OF_NAME


def split_of_folder(name: bytes) -> str:
    """The split that a folder of this name holds, "" if the name is not that of a split. Capitals do not matter."""
    return SPLIT_OF_NAME.get(name.decode("utf-8", "replace").lower(), "")


def split_of_file(name: str) -> str:
    """The split in a file's name, as in `train-000042.tar`, `rec_gt_test.txt` or `data_valid`; "" if it names none, or
    two."""
    named = {SPLIT_OF_NAME[word] for word in _WORDS.findall(name.lower()) if word in SPLIT_OF_NAME}
    return named.pop() if len(named) == 1 else ""


def is_label_file(name: bytes) -> bool:
    """Does a file by its name hold the labels of many pictures, as words.csv or labels.json?"""
    return _LABEL_FILE.fullmatch(name) is not None


def column_name(cell: bytes) -> str:
    """A cell of a header in the spelling of the lists above: `Image Path` is `image_path`."""
    return re.sub(r"[\s-]+", "_", cell.decode("utf-8", "replace").strip().lower())


def other_spellings(path: bytes) -> list[bytes]:
    """A path in the other forms of Unicode in which its name may be on the disk: an é is one letter on Linux, and an e
    with a mark if macOS has written it."""
    if path.isascii():
        return []
    name = path.decode("utf-8", "surrogateescape")
    forms = (unicodedata.normalize(form, name).encode("utf-8", "surrogateescape") for form in ("NFC", "NFD"))
    return [form for form in dict.fromkeys(forms) if form != path]
