"""Training by several processes: what they exchange, how they start, and layers that see the whole batch."""
