"""What a run would take: time, size and memory, found by a short trial (`--dry-run`, `vsr.estimate`)."""
