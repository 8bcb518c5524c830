"""A run's folder: state, signals, log, metrics. No torch."""
