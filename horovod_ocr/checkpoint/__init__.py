"""Checkpoints: one self-contained file each, whole or absent."""
