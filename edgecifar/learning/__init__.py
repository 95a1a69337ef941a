"""Gradient descent: the one loop that trains, prunes and trains quantization-aware."""
