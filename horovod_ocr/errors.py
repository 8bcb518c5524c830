"""Errors that are raised in more than one package. sharding.errors draws the whole tree."""

from sharding.errors import ConfigError, DataError, LabelError, OcrError, ShardError, SourceError

__all__ = [
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "ExportError",
    "LabelError",
    "OcrError",
    "ShardError",
    "SourceError",
]


class CheckpointError(OcrError):
    """A checkpoint, or the folder of a run."""

    exit_code = 3


class ExportError(OcrError):
    """An exported model, or one that cannot be exported."""

    exit_code = 3


class ClusterError(OcrError):
    """Hosts, ranks, or what connects them."""

    exit_code = 4


class DivergedError(ClusterError):
    """A loss that is not finite again and again, or ranks with different weights."""

    exit_code = 5


def exit_code_of(error: BaseException) -> int:
    """That a command ends with because of it; docs/faults.md lists them."""
    if isinstance(error, OcrError):
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # `| head` has seen enough
        return 0
    if isinstance(error, OSError):
        return DataError.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1
