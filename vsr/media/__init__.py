"""Reading and writing of video files.

The folders are layers: `audit`, `mux`, `passthrough`, `text`, `audio`, `encode`, `decode`, `decoders`,
`filters`, `integrity`, `structure`, `pixels`, `formats`, `metadata`, `files`. Each imports only from those
listed after it.
"""
