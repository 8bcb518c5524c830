"""The networks. A model maps images (N, 1, H, W) to scores; it knows nothing about ranks, paths or configurations."""
