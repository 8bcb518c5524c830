"""Errors that are raised in more than one package. sharding.errors draws the whole tree."""

from sharding.errors import ConfigError, DataError, LabelError, OcrError, ShardError, SourceError

__all__ = [
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "LabelError",
    "OcrError",
    "ShardError",
    "SourceError",
]


class CheckpointError(OcrError):
    """A checkpoint, or the folder of a run."""

    exit_code = 3


class ClusterError(OcrError):
    """Hosts, ranks, or what connects them."""

    exit_code = 4


class DivergedError(ClusterError):
    """A loss that is not finite again and again, or ranks with different weights."""

    exit_code = 5
