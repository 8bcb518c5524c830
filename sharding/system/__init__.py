"""The machine below a build: files that are whole or absent, worker processes, one build at a time."""
