"""Video super-resolution that loses nothing. The public API, and nothing else; torch is imported on first use."""

from __future__ import annotations

__version__ = "0.1.0"
