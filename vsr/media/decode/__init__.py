"""Decoding of a file's video: what the file contains (`probe`), and its frames in display order
(`source`).
"""
