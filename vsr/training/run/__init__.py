"""The training run: its loop, one step, its state, checkpoints and validation."""
