"""Find the layout of a source: how it holds images and their labels.

Layouts are tried in this order, or one is named by `--layout`. The first that fits is taken, so those that say most of
themselves come first: a set of this program, then files whose names or headers say what they are, then what is only
told by what is beside it. Label files of several layouts are refused, because nobody knows which are meant.

    shards       a set of this program (index.json): its splits, subsets and classes are kept
    easyocr      labels.csv that begins with `filename,words`: cut at the first comma, no quotes
    labels       labels.tsv, gt.txt and their like: path, label, and optionally a subset, or what their header says
    splits       train.tsv (or .csv) with val.tsv and / or test.tsv: the same columns, and the splits are given
    paddleocr    train_list.txt, rec_gt_train.txt, train.txt, with val and / or test; rec_gt.txt of PPOCRLabel
    huggingface  metadata.jsonl or metadata.csv, at the top or in train/, validation/, test/
    doctr        labels.json and images/, at the top or in train/, val/, test/
    lmdb         data.mdb of PARSeq or clovaai, at the top or in folders below
    parquet      .parquet files of the Hugging Face hub: a column of images, and one of texts or classes
    beside       `word.gt.txt` or `word.txt` beside `word.png`, in folders of any depth
    classes      one folder per class; under folders named train, val and test the splits are given
    webdataset   .tar files: image and .txt, .gt.txt or .label (words) or .cls (classes)
    names        the label is in the file's name; only with `--label-from-name REGEX`

easyocr, labels, splits and paddleocr may also be in the folders below the top.
"""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from sharding.errors import ConfigError, SourceError
from sharding.layouts.classes import find_classes
from sharding.layouts.doctr import find_doctr
from sharding.layouts.entry import Source
from sharding.layouts.find_label_files import LISTED_FINDERS, LISTED_LAYOUTS, find_by_content, find_listed, shown_texts
from sharding.layouts.folders import scan_folders
from sharding.layouts.huggingface import find_huggingface
from sharding.layouts.image_folders import find_beside, find_names
from sharding.layouts.label_files import LabelFilesSource
from sharding.layouts.lmdb_records import find_lmdb
from sharding.layouts.parquet import find_parquet
from sharding.layouts.tar_samples import find_webdataset
from sharding.layouts.tar_sets import find_shards

_FINDERS: dict[str, Callable[..., Source | None]] = {
    "shards": find_shards,
    **LISTED_FINDERS,
    "huggingface": find_huggingface,
    "doctr": find_doctr,
    "lmdb": find_lmdb,
    "parquet": find_parquet,
    "beside": find_beside,
    "classes": find_classes,
    "webdataset": find_webdataset,
}
LAYOUTS = (*_FINDERS, "names")
# layouts whose label files name images by their paths: those that --images is for
NAMES_IMAGES = (*LISTED_LAYOUTS, "huggingface", "doctr")
_SHOWN_TEXTS = 5
_LOOKED_FOR = {
    "shards": "index.json of horovod-ocr shard",
    "easyocr": "labels.csv that begins with filename,words",
    "labels": "labels.tsv or gt.txt (or .csv), here or in folders below",
    "splits": "train.tsv with val.tsv or test.tsv (or .csv)",
    "paddleocr": "train_list.txt, rec_gt_train.txt, train.txt (with val or test), or rec_gt.txt",
    "huggingface": "metadata.jsonl or metadata.csv",
    "doctr": "labels.json with images/",
    "lmdb": "data.mdb",
    "parquet": ".parquet files with a column of images",
    "beside": "a .txt or .gt.txt beside an image",
    "classes": "at least two folders of images, one per class",
    "webdataset": ".tar files",
    "names": "images, with --label-from-name",
}


def find_source(
    src: Path, layout: str | None = None, label_from_name: str | None = None, images: Path | None = None
) -> Source:
    """The source in a folder. layout: one of `LAYOUTS`; None: found by itself. label_from_name: a regular expression,
    searched in each file's name without its folders; its group `label`, else its first group, is the label. images: the
    folder that the paths of label files are relative to; None: found by itself.

    Reads names, first lines and at most some thousand files. ConfigError if the options do not go together; SourceError
    if the folder is empty, or if no layout or several layouts fit.
    """
    if layout not in (None, *LAYOUTS):
        raise ConfigError(f"unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if (layout == "names" and not label_from_name) or (label_from_name and layout not in (None, "names")):
        raise ConfigError("labels in file names need both or the second alone: --layout names --label-from-name REGEX")
    if images and (label_from_name or layout not in (None, *NAMES_IMAGES)):
        raise ConfigError("--images is for label files that name their images; leave it out")
    if images and not images.is_dir():
        raise ConfigError(f"--images {images} is not a folder")
    if not src.exists():
        raise SourceError(f"there is no folder {src}; name the folder of your images: horovod-ocr shard --src FOLDER")
    if not src.is_dir():
        raise SourceError(f"{src} is a file; name the folder that holds it: horovod-ocr shard --src FOLDER")
    root = src.absolute()
    if label_from_name:
        layout = "names"
        source: Source | None = find_names(root, label_from_name)
    elif layout in NAMES_IMAGES:
        source = _FINDERS[layout](root, True, images=images)
    elif layout:
        source = _FINDERS[layout](root, True)
    else:
        source = _found(root, images)
    if source is None:
        raise SourceError(_nothing_fits(root, layout))
    return source


def _found(root: Path, images: Path | None) -> Source | None:
    """The source of the first layout that fits. SourceError if there are label files of several."""
    if shards := find_shards(root):
        return shards
    found = (find_huggingface(root, images=images), find_doctr(root, images=images))
    named: list[LabelFilesSource] = [source for source in found if source]
    if listed := find_listed(None, root, False, images):
        named.append(listed)
    if len(named) > 1:
        shown = ", ".join(f"{file}: --layout {source.layout}" for source in named for file in source.file_names()[:1])
        raise SourceError(f"{root} holds labels in several layouts; say which is meant ({shown})")
    if named:
        return named[0]
    for name, find in _FINDERS.items():
        if name not in ("shards", *NAMES_IMAGES):
            if name == "classes" and (listed := find_by_content(root, images)):
                return listed
            if other := find(root, False):
                return other
    return None


def _nothing_fits(root: Path, layout: str | None) -> str:
    if not any(folder.files for folder in scan_folders(os.fsencode(root))):
        return f"{root} is empty; put images and their labels there (labels.tsv: path<TAB>label), or name another --src"
    if layout:
        return f"{root} holds no labels of the layout {layout}; looked for: {_LOOKED_FOR[layout]}"
    texts = [*islice(shown_texts(root), _SHOWN_TEXTS + 1)]
    more = " and more" if len(texts) > _SHOWN_TEXTS else ""
    seen = f"it holds {', '.join(texts[:_SHOWN_TEXTS])}{more}" if texts else "it holds no text, table or tar"
    lines = "".join(f"\n  {name:<12} {what}" for name, what in _LOOKED_FOR.items())
    return (
        f"{root} holds no labels that can be read ({seen}); call the file of the labels labels.tsv (path<TAB>label), "
        f"or take labels from file names with --label-from-name REGEX. looked for:{lines}"
    )
