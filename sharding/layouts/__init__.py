"""Raw layouts: how images and their labels lie in a source.

Found by themselves, in this order (the first that fits is taken), or named by `--layout`:

    shards       a set of this program (index.json): its splits, subsets and classes are kept
    easyocr      labels.csv that begins with `filename,words`: cut at the first comma, no quotes
    labels       labels.tsv or labels.csv: path, label, and if wanted a subset
    splits       train.tsv (or .csv) with val.tsv and / or test.tsv: the same columns, and the splits are given
    paddleocr    train_list.txt or rec_gt_train.txt, with val and / or test: path or JSON list of paths, tab, label
    huggingface  metadata.jsonl or metadata.csv, at the top or in train/, validation/, test/
    doctr        labels.json and images/, at the top or in train/, val/, test/
    lmdb         data.mdb of PARSeq or clovaai, at the top or in folders below
    beside       `word.gt.txt` or `word.txt` beside `word.png`, in any depth of folders
    classes      one folder per class; under folders named train, val and test the splits are given
    webdataset   .tar files: image and .txt, .gt.txt or .label (words) or .cls (classes)
    names        the label stands in the file's name; only with `--label-from-name REGEX`

    entry.py          Entry, Source, Reader: what the rest of the room sees
    marks.py          is a source still as it was listed
    folders.py        the walk through folders, by several threads
    files.py          images that are files
    label_files.py    labels, splits, paddleocr, easyocr
    huggingface.py doctr.py lmdb_records.py
    image_folders.py  beside, names, classes
    tar_members.py tar_sets.py  shards, webdataset
"""

import os
from collections.abc import Callable
from pathlib import Path

from sharding.errors import ConfigError, SourceError
from sharding.layouts.doctr import find_doctr
from sharding.layouts.entry import Source
from sharding.layouts.folders import scan_folders
from sharding.layouts.huggingface import find_huggingface
from sharding.layouts.image_folders import find_beside, find_classes, find_names
from sharding.layouts.label_files import find_easyocr, find_labels, find_paddle, find_splits
from sharding.layouts.lmdb_records import find_lmdb
from sharding.layouts.tar_sets import find_shards, find_webdataset

_FINDERS: dict[str, Callable[[Path, bool], Source | None]] = {
    "shards": find_shards,
    "easyocr": find_easyocr,
    "labels": find_labels,
    "splits": find_splits,
    "paddleocr": find_paddle,
    "huggingface": find_huggingface,
    "doctr": find_doctr,
    "lmdb": find_lmdb,
    "beside": find_beside,
    "classes": find_classes,
    "webdataset": find_webdataset,
}
LAYOUTS = (*_FINDERS, "names")
_LOOKED_FOR = {
    "shards": "index.json of horovod-ocr shard",
    "easyocr": "labels.csv that begins with filename,words",
    "labels": "labels.tsv or labels.csv",
    "splits": "train.tsv with val.tsv or test.tsv (or .csv)",
    "paddleocr": "train_list.txt or rec_gt_train.txt",
    "huggingface": "metadata.jsonl or metadata.csv",
    "doctr": "labels.json with images/",
    "lmdb": "data.mdb",
    "beside": "a .txt or .gt.txt beside an image",
    "classes": "at least two folders of images, one per class",
    "webdataset": ".tar files",
    "names": "images",
}


def find_source(src: Path, layout: str | None = None, label_from_name: str | None = None) -> Source:
    """The source that lies in a folder. layout: one of `LAYOUTS`; None: found by itself. label_from_name: a regular
    expression, searched in each file's name without its folders; its group `label`, else its first group, is the label.

    Looks at names, first lines and at most some thousand files. ConfigError where the options do not go together;
    SourceError where nothing is there or nothing fits.
    """
    if layout not in (None, *LAYOUTS):
        raise ConfigError(f"unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if (layout == "names" and not label_from_name) or (label_from_name and layout not in (None, "names")):
        raise ConfigError("labels in file names need both or the second alone: --layout names --label-from-name REGEX")
    if not src.exists():
        raise SourceError(f"there is no folder {src}; name the folder of your images: horovod-ocr shard --src FOLDER")
    if not src.is_dir():
        raise SourceError(f"{src} is a file; name the folder that it lies in: horovod-ocr shard --src FOLDER")
    root = src.absolute()
    if label_from_name:
        layout = "names"
        source: Source | None = find_names(root, label_from_name)
    elif layout:
        source = _FINDERS[layout](root, True)
    else:
        source = next((found for find in _FINDERS.values() if (found := find(root, False))), None)
    if source is None:
        raise SourceError(_nothing_fits(root, layout))
    return source


def _nothing_fits(root: Path, layout: str | None) -> str:
    if not any(folder.files for folder in scan_folders(os.fsencode(root))):
        return f"{root} is empty; put images and their labels there (labels.tsv: path<TAB>label), or name another --src"
    places = _LOOKED_FOR[layout] if layout else "; ".join(_LOOKED_FOR[name] for name in _FINDERS)
    return f"{root} holds no labels that can be read; looked for: {places} (images: png jpg webp bmp tiff)"
