"""Shards and reject lists, written under another name and then renamed."""
