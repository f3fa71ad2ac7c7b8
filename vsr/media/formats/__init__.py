"""Properties of containers: the codecs and timestamps that each can store, and the parts of MP4, Matroska and
ASF that FFmpeg neither reads nor writes.
"""
