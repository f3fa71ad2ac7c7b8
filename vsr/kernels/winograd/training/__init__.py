"""Single Winograd convolutions with their weight gradients, for training."""
