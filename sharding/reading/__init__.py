"""A source, entry by entry: listed on disk, each image read once, accepted or rejected with a reason."""
