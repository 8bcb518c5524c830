"""What it costs to train on several machines: measured here, forecast for other links, and advice."""
