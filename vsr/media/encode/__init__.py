"""Encoding of frames to packets: choice of encoder and pixel format, the table of encoders, and the segments
of a resumable run.
"""
