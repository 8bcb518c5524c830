"""Which sample, when, on which rank (`plan`); its bytes (`stream`); its pixels (`image`, `augment`)."""
