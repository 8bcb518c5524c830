"""The look before a build: what would be packed, what would be refused and why, and what stands in the labels."""
