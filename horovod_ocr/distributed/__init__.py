"""The ranks of a job as one object, the engine that moves bytes between them, and what they decide together."""
