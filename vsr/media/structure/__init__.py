"""What containers promise, checked by walking the file: pages, packets, keys, frames, indexes."""
