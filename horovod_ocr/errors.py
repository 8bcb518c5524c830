"""The whole error tree; `sharding.errors` draws it. Import errors of the trainer's side from here."""

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
    exit_code = 3


class ClusterError(OcrError):
    exit_code = 4


class DivergedError(ClusterError):
    exit_code = 5
