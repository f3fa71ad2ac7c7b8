"""From frames to packets: the choice of encoder and pixel format, the table of encoders, and the segments
that a resumable run writes.
"""
