"""From batches to a trained model: `train` calls `setup`, which puts a run together, and `loop`, which runs it."""
