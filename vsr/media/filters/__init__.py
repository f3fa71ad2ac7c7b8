"""FFmpeg's filters on frames, before and after the generator: which are allowed, fields, and
deinterlacing."""
