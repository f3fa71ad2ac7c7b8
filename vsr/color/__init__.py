"""Y'CbCr and R'G'B': the meaning of integer codes (ITU-T H.273), and lossless conversion in both
directions."""
