"""What a build needs of the machine: files that are whole or absent, worker processes, one build at a time."""
