"""The errors that a person can fix. Each carries its exit code and a sentence that says what, where and what to do.

OcrError
├── ConfigError          2   an option, a recipe or a settings file is wrong
├── DataError            3
│   ├── SourceError          the raw images or their labels
│   ├── LabelError           a text that the script profile does not allow
│   └── ShardError           a shard, its .idx, or the index
│       └── AlteredError  3  a file holds other bytes than the index says (horovod_ocr.data.cache)
├── CheckpointError      3   horovod_ocr.errors
│   └── UnreadableError      it may be whole, but cannot be read now (horovod_ocr.checkpoint.file)
├── ExportError          3   horovod_ocr.errors
└── ClusterError         4   horovod_ocr.errors
    └── DivergedError    5

docs/faults.md also draws the exceptions that never reach a person, because the code that reads turns them into one of
these or into a reject: Rejected, DamagedTarError, DamagedImageError, DamagedError.
"""


class OcrError(Exception):
    """Base of every error shown to a person as one sentence, without a traceback."""

    exit_code = 1
    """Of the command that ends with this error."""
    shown_by: int | None = None
    """The rank that prints it; None: each rank on which it was raised."""


class ConfigError(OcrError):
    exit_code = 2


class DataError(OcrError):
    exit_code = 3


class SourceError(DataError):
    pass


class LabelError(DataError):
    pass


class ShardError(DataError):
    pass
