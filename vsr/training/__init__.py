"""Training and fine-tuning of generators."""
