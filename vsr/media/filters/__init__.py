"""FFmpeg's filters on frames before and after the generator, field order, and deinterlacing."""
