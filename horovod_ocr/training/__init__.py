"""From batches to a checkpoint: `task` (what is learnt), `optim`, `checkpoint`, `evaluate`, and `loop`, which calls all."""
