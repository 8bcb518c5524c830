"""Is this image readable; if not, why; and what a shard will hold of it."""
