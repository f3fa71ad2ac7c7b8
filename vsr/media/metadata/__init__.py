"""What frames and streams carry beside their samples: colour tags, side data, SEI messages, HDR10 and HDR10+,
the orientation. Read and written here; whether it is kept is decided by those who encode and mux.
"""
