"""Raw layouts: how images and their labels lie in a source."""
