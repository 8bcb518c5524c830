"""How gradients, or weights, of the ranks meet."""
