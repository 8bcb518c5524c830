"""Train a word recogniser for any script with Horovod's ring allreduce and WebDataset shards; measure it, use it."""

__version__ = "0.1.0"
