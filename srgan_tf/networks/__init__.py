"""The networks of the paper, their losses, and a faster inference for TensorFlow."""
