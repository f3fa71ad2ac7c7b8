"""The worker processes of a run: where they start, what they are told, and how they end."""
