"""A split read with a model, and its scores."""
