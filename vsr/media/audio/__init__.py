"""Audio as packets and samples: facts of codecs, lossless conversion, AAC in LATM, exact copies."""
