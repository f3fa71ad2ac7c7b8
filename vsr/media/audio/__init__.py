"""Audio streams as packets and samples: facts about codecs, lossless conversion, AAC in LATM, exact
copies.
"""
