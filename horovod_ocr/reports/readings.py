"""Readings as lines of text, JSON lines, or CSV."""

import csv
import json
import sys
from typing import Any

from horovod_ocr.errors import ConfigError
from horovod_ocr.tasks.readers import AnyReading, Reader
from sharding.wording import breaks_lines


class ReadingWriter:
    """Prints one reading after the other."""

    def __init__(self, form: str, reader: Reader, reject_below: float | None) -> None:
        """form: text, jsonl or csv. reject_below: readings of less confidence are marked; None: none are."""
        self.form, self.reader, self.reject_below = form, reader, reject_below
        self.written = self.rejected = 0
        if form == "csv":
            self.table = csv.writer(sys.stdout, lineterminator="\n")
            rejected = [] if reject_below is None else ["rejected"]
            self.table.writerow(["path", reader.column, "confidence", *rejected])

    def write(self, name: str, reading: AnyReading) -> ConfigError | None:
        """Print the reading of an image. Returns an error if it cannot be printed in this form."""
        if self.form == "text" and breaks_lines(name):
            return ConfigError(f"{name!r} has a tab, a line end or the like in its name; use --format jsonl or csv")
        is_rejected = self.reject_below is not None and reading.confidence < self.reject_below
        self.written += 1
        self.rejected += is_rejected
        if self.form == "jsonl":
            marked = {} if self.reject_below is None else {"rejected": is_rejected}
            print(json.dumps({"path": name, **self.reader.describe(reading), **marked}, ensure_ascii=False))
        elif self.form == "csv":
            marks = [] if self.reject_below is None else [str(is_rejected).lower()]
            self.table.writerow([name, reading.text, f"{reading.confidence:.4f}", *marks])
        else:
            print(f"{name}\t{'' if is_rejected else self.reader.line_of(reading)}")
        return None

    def remark(self) -> str | None:
        """How many were rejected, for the end."""
        if self.reject_below is None:
            return None
        return f"rejected: {self.rejected:,} of {self.written:,} readings, of a confidence below {self.reject_below:g}"


def threshold_text(about: dict[str, Any], below: float) -> str:
    """What rejecting readings below a confidence has meant where the export was measured. about: recognizer.json."""
    confidence = about.get("confidence")
    if not confidence or "rejections" not in confidence:
        return "the confidences of a checkpoint are not calibrated; horovod-ocr export does that"
    rows = confidence["rejections"][about["precision"]]
    row = max((each for each in rows if each["below"] <= below), key=lambda each: float(each["below"]))
    return (
        f"{row['coverage']:.1%} of the readings of the {confidence['measured_on']} split have a confidence of "
        f"{row['below']:g} or more; {row['error']:.2%} of those are wrong"
    )
