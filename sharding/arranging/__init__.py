"""Decide which sample goes into which shard, once every image has been read."""
