"""From packets to a finished file: interleaving, decode order, the hidden work folder of a resumable run, and
the file read back and counted before it gets its name.
"""
