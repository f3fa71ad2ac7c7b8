"""Opening of files and streams: what may be opened, pipes, YUV4MPEG2, the PyAV releases, and the output's
path.

No module here reads the content of frames.
"""
