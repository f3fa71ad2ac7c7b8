"""What a step minimises: pixel, feature, adversarial, temporal and colour losses, with their settings."""
