"""The training run: the loop, one step, what changes from step to step, checkpoints, validation."""
