"""Random changes to a training image. They depend on the sample and the epoch, not on the rank or the worker."""
