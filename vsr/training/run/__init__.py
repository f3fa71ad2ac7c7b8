"""The training run: its loop, one step, its state, checkpoints, validation and records."""
