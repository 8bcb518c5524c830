"""Shard sets: how one is made and what it promises. Imports nothing of `horovod_ocr`; no torch, no horovod."""
