"""Is this image readable; why not, and what a shard will hold of it."""
