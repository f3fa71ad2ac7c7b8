"""Files and streams as they are opened: what may be opened, pipes, YUV4MPEG2, PyAV's two series, and where a
result goes. Nothing here looks at frames.
"""
