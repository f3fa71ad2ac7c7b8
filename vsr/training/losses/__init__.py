"""The losses of a training step: pixel, perceptual, adversarial, temporal
and colour losses, with their settings."""
