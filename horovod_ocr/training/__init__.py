"""From batches to a checkpoint: `task` (what is learnt), `optim`, `checkpoint`, `evaluate`; `loop` calls them all."""
