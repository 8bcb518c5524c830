"""Which sample, when, on which rank (`plan`); its bytes (`store`, `reader`); its pixels (`image`, `augment`); batches
(`stream`)."""
