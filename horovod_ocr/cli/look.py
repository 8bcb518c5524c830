"""The look at raw images before anything is packed, and at samples before anything is trained."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import (
    Check,
    Dedup,
    Direction,
    Fractions,
    GroupFrom,
    Images,
    LabelFromName,
    Layout,
    MaxLabel,
    Profile,
    Seed,
    Sources,
    Split,
    SplitLists,
    Workers,
)
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.errors import ConfigError, SourceError
from horovod_ocr.reports.progress import shard_progress

output = Console(soft_wrap=True)


def audit(
    src: Sources = None,
    profile: Profile = None,
    direction: Direction = None,
    layout: Layout = None,
    images: Images = None,
    label_from_name: LabelFromName = None,
    seed: Seed = None,
    workers: Workers = None,
    check: Check = None,
    split: Split = None,
    group_from: GroupFrom = None,
    split_lists: SplitLists = None,
    fractions: Fractions = None,
    dedup: Dedup = None,
    max_label: MaxLabel = None,
    sample: Annotated[
        int | None, typer.Option(metavar="IMAGES", help="Look at about so many only, at least 100.  [default: all]")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("audit.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")] = False,
) -> None:
    """Look at raw images before anything is packed: what would be refused and why, letters, sizes, copies."""
    given = dict(locals())  # of the settings, by their names
    for name in ("sample", "out", "as_json"):
        del given[name]
    with one_sentence():
        from horovod_ocr.config.settings import load_shard_options, parse_fractions
        from horovod_ocr.reports.audit import audit_sections, audit_values, verdict, write_page
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.audit.audit import audit_source

        options = load_shard_options(given | {"fractions": parse_fractions(fractions) if fractions else None})
        with shard_progress() as progress:
            found = audit_source(options, sample, progress)
        write_page(found, out)
        if as_json:
            print(json.dumps({**audit_values(found), "page": str(out)}, ensure_ascii=False))
        else:
            output.print(draw_sections(audit_sections(found)))
            print(f"written: {out}")
        if not found.packed:
            raise SourceError(f"{verdict(found)}; {out} says why")
        if not as_json:
            print(f"next: {shard_command(given)}")


def show(
    shards: Annotated[str | None, typer.Option(help="Where the shards are, as in train.  [default: shards]")] = None,
    augment: Annotated[
        bool, typer.Option("--augment", help="What training does to them: each change alone, then all together.")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="With --augment: packaged recipe, or a .toml file.  [default: the script's]")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="With --augment: --set augmentation.rotation_deg=3")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The PNG to write.  [default: sheet.png or augment.png]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which samples, and what chance does to them.")] = 0,
) -> None:
    """Draw samples of a shard set on one sheet: with their labels, or as training changes them."""
    with one_sentence():
        if augment:
            from horovod_ocr.config.settings import default_recipe, load_config, parse_settings
            from horovod_ocr.reports.augmented import draw_augmented_sheet

            given = ({"shards": shards} if shards else {}) | parse_settings(settings or [])
            config = load_config(recipe or default_recipe(given.get("shards", "")), given)
            out = out or Path("augment.png")
            draw_augmented_sheet(config, out, seed)
        elif recipe or settings:
            raise ConfigError("--recipe and --set are for --augment; give that as well, or leave them out")
        else:
            from horovod_ocr.cli.shards import folder_of_shards
            from horovod_ocr.reports.sheet import draw_set_sheet

            out = out or Path("sheet.png")
            draw_set_sheet(shards or folder_of_shards(None), out, seed=seed)
        print(f"written: {out}")


def shard_command(given: dict) -> str:
    """`shard` with the options that were given here."""
    words = ["horovod-ocr", "shard"]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{name}")
        else:
            values = [] if value is None else value if isinstance(value, list) else [value]
            words += [word for each in values for word in (option, str(each))]
    return shlex.join(words)
