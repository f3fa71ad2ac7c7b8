"""What containers are like: which codecs each holds, how exact its timestamps are, and the boxes and elements
of MP4, Matroska and ASF that FFmpeg does not read or write.
"""
