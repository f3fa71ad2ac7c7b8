"""Text subtitles and captions, converted from one codec to another."""
