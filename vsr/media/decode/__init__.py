"""From a file to frames with their timestamps: what is in the file (`probe`), the decoder, and the frames in
display order (`source`).
"""
