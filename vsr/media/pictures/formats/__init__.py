"""The parts of picture files, format by format: what they contain besides the samples."""
