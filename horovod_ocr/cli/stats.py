"""horovod-ocr stats"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import ShardsFolder, folder_of_shards
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.reports.progress import shard_progress

output = Console(soft_wrap=True)


def stats(
    shards: ShardsFolder = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write.  [default: stats.html in the shards]")
    ] = None,
) -> None:
    """Show what a shard set holds: lengths, letters, sizes; as tables, and as a page with pictures."""
    with one_sentence():
        from horovod_ocr.reports.stats import stats_sections, write_stats_page
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.audit.set_stats import count_set
        from sharding.format.index import check_shards_present, read_index

        index = read_index(folder_of_shards(shards))
        check_shards_present(index)
        with shard_progress() as report:
            sections = stats_sections(index, count_set(index, report))
        output.print(draw_sections(sections))
        out = out or index.root / "stats.html"
        write_stats_page(index, sections, out)
        print(f"\nwritten: {out}")
