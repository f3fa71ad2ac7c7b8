"""Decoders of video: choice of the stream, errors, alpha, changes of size, and recordings joined end to
end.
"""
