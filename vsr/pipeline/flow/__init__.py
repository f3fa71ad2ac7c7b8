"""One frame's way: stages as generators, the only threads, the only CUDA streams, and how busy each stage
is."""
