"""Script profiles: how a label is normalised, which letters it may hold, and in which direction it is read."""
