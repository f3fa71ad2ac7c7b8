"""Metadata of frames and streams: colour tags, side data, SEI messages, HDR10 and HDR10+, orientation.

It is read and written here. The modules that encode and mux decide what is kept.
"""
