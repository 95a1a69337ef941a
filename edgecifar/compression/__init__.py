"""Compression: pruning and quantization-aware training. The only home of tensorflow-model-optimization."""
