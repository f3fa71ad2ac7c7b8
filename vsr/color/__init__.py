"""Y'CbCr and R'G'B': what codes mean (ITU-T H.273), and conversion both ways without loss."""
