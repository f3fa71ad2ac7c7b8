"""The path of a frame: stages as generators, the only threads, the only CUDA
streams, and the busy time of stages."""
