"""Generators on devices: whole images or tiles, memory, the choice of a backend. Nothing here knows video."""
