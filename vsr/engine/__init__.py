"""Generators on devices: whole images or tiles, memory, the choice of a backend. No video here."""
