"""Whether a source is whole: damage that the decoder or demuxer meets, and what the container promises but
does not hold.
"""
