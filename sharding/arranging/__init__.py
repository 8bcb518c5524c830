"""Which sample goes into which shard, decided once every image has been read."""
