"""Raw layouts: how a source holds images and their labels."""
