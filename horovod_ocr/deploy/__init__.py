"""A checkpoint at work: `recognizer` reads images with it."""
