"""What kind of sample is trained. Nothing outside this package knows what a label means."""
