"""Export: model files of every format and precision, and the bundle that holds them."""
