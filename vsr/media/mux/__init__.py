"""From packets to a finished file: interleaving, decoding order, the work folder of a resumable run, and
reading the file back before it gets its name.
"""
