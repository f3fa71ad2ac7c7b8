"""Converts text subtitles and captions from one codec to another."""
