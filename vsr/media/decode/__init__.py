"""Decoding of a file's video: what the file contains (`facts`), and its frames in display order
(`source`).
"""
