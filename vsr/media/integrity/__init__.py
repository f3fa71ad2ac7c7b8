"""Checks of a source's integrity: damage that the decoder or demuxer meets, and parts that the container
promises but does not hold.
"""
