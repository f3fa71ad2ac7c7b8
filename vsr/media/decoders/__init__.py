"""Decoders of video: the stream that is chosen, errors, alpha, sizes that change, recordings joined end to
end."""
