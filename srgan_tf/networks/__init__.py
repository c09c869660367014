"""The networks and their losses: as the paper has them, and as TensorFlow computes them fastest."""
