"""What an export has made, as a table and sentences."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.export.request import Exported
from horovod_ocr.recognizer.package import MODEL_NAMES
from horovod_ocr.tasks.figures import FIGURES


def draw_exported(name: str, step: int, exported: Exported) -> Group:
    """For a terminal. name, step: of the run and its checkpoint."""
    fp32 = exported.scored["fp32"]
    figures = [figure for figure in FIGURES[exported.task_kind].figures if figure.key in fp32.values]
    table = Table(title=f"{name}, step {step}, {exported.split} split", title_justify="left")
    for head in ("", "MB", *(figure.title for figure in figures), "calibration error", "ms an image"):
        table.add_column(head, justify="left" if not head else "right", no_wrap=not head)  # files are named in full
    table.add_row("checkpoint, on torch", *[""] * (len(figures) + 2), f"{exported.ms['torch']:.2f}")
    for precision, model in exported.models.items():
        scored = exported.scored[precision]
        table.add_row(
            MODEL_NAMES[precision],
            f"{len(model.content) / 1e6:.2f}",
            *(figure.text(scored.values) for figure in figures),
            f"{scored.calibration_error:.3f}",
            f"{exported.ms[precision]:.2f}",
        )
    parity = exported.parity
    remarks = [
        f"parity: {parity.compared:,} samples read exactly as by the checkpoint; largest difference of a logit "
        f"{parity.largest_difference:.1g}",
        f"confidences: temperature {exported.temperature:g}, fitted on the {exported.calibrated_on} split",
    ]
    if exported.calibrated_on == exported.split:
        remarks.append("the calibration error was measured on the split that the temperature was fitted on")
    return Group(table, *map(Text, remarks))
