"""What is done with weights and training data besides training: finishing, credits, ten minutes on a GPU."""
