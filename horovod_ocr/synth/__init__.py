"""Rendered words: training data whose labels are right by construction."""
