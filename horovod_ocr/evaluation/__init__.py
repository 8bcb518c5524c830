"""A split read with a model, its scores, and the runs of a folder."""
