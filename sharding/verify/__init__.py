"""A shard set proved: every byte of it read, and everything that its index says counted again."""
