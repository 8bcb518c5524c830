"""Which split is read where one is empty, and how to get it."""

from types import SimpleNamespace

import pytest

from horovod_ocr.cli.main import COMMANDS
from horovod_ocr.data.splits import divide_command, empty_split, unseen_split
from tests.unit.docs.pages import options_of


def index_of(kind: str = "classes", **totals: int) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, root="shards", counts=SimpleNamespace(totals=totals))


def test_images_of_classes_are_divided_by_what_belongs_together():
    """By file, near-copies of what is trained on would be scored."""
    assert divide_command("classes") == (
        "horovod-ocr shard --group-from REGEX --fractions 0.8,0.1,0.1 --out NEW_FOLDER; horovod-ocr train --shards "
        "NEW_FOLDER (if no images belong together: --split file instead of --group-from REGEX)"
    )
    assert divide_command("words") == (
        "horovod-ocr shard --split label --fractions 0.8,0.1,0.1 --out NEW_FOLDER; horovod-ocr train --shards "
        "NEW_FOLDER"
    )


@pytest.mark.parametrize("kind", ["words", "classes"])
def test_the_commands_can_be_typed(kind):
    for command in divide_command(kind).split(" (")[0].split("; "):
        program, name, *words = command.split()
        assert program == "horovod-ocr" and name in COMMANDS
        assert {word for word in words if word.startswith("--")} <= set(options_of(name))


def test_an_empty_split_is_said_with_what_there_is():
    assert empty_split(index_of(train=1200, val=3, test=0), "test") == (
        "shards: the test split holds no sample (there is: train 1,200, val 3); read another with --split val, or give "
        f"images of it, or divide those there are: {divide_command('classes')}"
    )
    assert "(there is: val 3); give images of it" in empty_split(index_of(train=0, val=3), "train")
    assert unseen_split(index_of(train=9, val=3, test=0)) == "val" and unseen_split(index_of(train=9)) is None
