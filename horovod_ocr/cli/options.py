"""Options that several commands share. Defaults: config.ShardSettings."""

from typing import Annotated

import typer

Sources = Annotated[
    list[str] | None,
    typer.Option(metavar="FOLDER", help="Raw images and their labels; may be given several times.  [default: raw]"),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Script: urdu, arabic, persian, thai, latin, plain, or a profile file (.toml).  [default: by the labels' "
        "letters]",
    ),
]
Direction = Annotated[
    str | None,
    typer.Option(
        help="Of a line: ltr, rtl, or visual for labels written as their letters stand in the image.  [default: the "
        "profile's; plain: as most letters are read]"
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        help="How labels are given: shards, easyocr, labels, splits, paddleocr, huggingface, doctr, lmdb, parquet, "
        "beside, classes, webdataset or names.  [default: found by itself]"
    ),
]
Images = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="What the paths of label files are relative to.  [default: found by itself]"),
]
LabelFromName = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="Finds the label in the file's name: group `label`, else the first."),
]
Seed = Annotated[int | None, typer.Option(help="Decides split and order.  [default: 0]")]
Workers = Annotated[int | None, typer.Option(help="Processes; never changes a byte.  [default: all cores]")]
Check = Annotated[
    str | None,
    typer.Option(
        help="full decodes every image, structure compares checksums and lengths, header reads sizes.  [default: full]"
    ),
]
Split = Annotated[
    str | None,
    typer.Option(help="By label or by file.  [default: as the source gives it, else label; classes: file]"),
]
GroupFrom = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="What it finds in the path (page, writer) decides the split."),
]
SplitLists = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Its train.txt, val.txt, test.txt name the paths of each split.")
]
Fractions = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Shares of train, val and test.  [default: 0.8,0.1,0.1]")
]
Dedup = Annotated[
    bool | None,
    typer.Option("--dedup/--no-dedup", help="Leave further copies of an image out.  [default: no-dedup]"),
]
MaxLabel = Annotated[
    int | None, typer.Option(metavar="LETTERS", help="Longest label that is taken; 0: any.  [default: 0]")
]
ImageForm = Annotated[str | None, typer.Option(help="keep, or encode again as png or jpeg.  [default: keep]")]
Height = Annotated[
    int | None, typer.Option(metavar="PX", help="Shrink higher images to this; with --image png or jpeg.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, for machines.")]
