"""What a build would pack, what it would refuse and why, and what the labels are like: a report before anything is
packed."""
