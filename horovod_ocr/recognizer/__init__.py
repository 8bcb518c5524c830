"""A checkpoint as a reader of images."""
