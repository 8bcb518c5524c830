"""horovod-ocr runs"""

import json

from rich.console import Console

from horovod_ocr.cli.options import JsonLines, RunsFolder, folder_of_runs
from horovod_ocr.cli.sentence import one_sentence

# wider than a table: cut to a narrow terminal, or a pipe, it would lose its numbers
output = Console(soft_wrap=True, width=500)


def runs(runs: RunsFolder = None, json_lines: JsonLines = False) -> None:
    """List the runs, newest first: state, step, score, age, size."""
    with one_sentence():
        from horovod_ocr.evaluation.runs import list_runs
        from horovod_ocr.reports.runs import draw_runs

        rows = list_runs(folder_of_runs(runs))
        if json_lines:
            for row in rows:
                print(json.dumps(row.to_dict(), ensure_ascii=False))
        else:
            output.print(draw_runs(rows))
