"""horovod-ocr show"""

from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.options import TrainedShards, folder_of_shards
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.errors import ConfigError


def show(
    shards: TrainedShards = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="What training does to them: each change alone, then all together.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="With --augment: packaged recipe, or a .toml file.  [default: chosen by the shards]"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="With --augment: a setting, such as augmentation.rotation_deg=3."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The PNG to write.  [default: sheet.png or augment.png]")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Decides which samples, and their random changes.")] = 0,
) -> None:
    """Draw samples of a shard set on one sheet: with their labels, or as training changes them."""
    with one_sentence():
        if augment:
            from horovod_ocr.config.sources import with_settings
            from horovod_ocr.reports.augmented import draw_augmented_sheet
            from horovod_ocr.tasks.recipe import new_config

            given = with_settings({"shards": shards} if shards else {}, settings or [])
            config = new_config(recipe, given)
            out = out or Path("augment.png")
            draw_augmented_sheet(config, out, seed)
        elif recipe or settings:
            raise ConfigError("--recipe and --set are for --augment; give that as well, or leave them out")
        else:
            from horovod_ocr.reports.sheet import draw_set_sheet

            out = out or Path("sheet.png")
            draw_set_sheet(shards or folder_of_shards(None), out, seed=seed)
        print(f"written: {out}")
