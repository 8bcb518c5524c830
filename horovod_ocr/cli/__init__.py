"""Every command: parse, call, print. No logic."""
