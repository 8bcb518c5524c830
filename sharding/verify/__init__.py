"""Prove a shard set: read every byte of it, and count again everything that its index says."""
