"""A source, entry by entry: listed on disk, then each image is read once, accepted or rejected with a reason."""
