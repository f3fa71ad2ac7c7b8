"""Video files in and out. Folders lie on top of each other: `audit`, `mux`, `passthrough`, `text`, `audio`,
`encode`, `decode`, `decoders`, `filters`, `integrity`, `structure`, `pixels`, `formats`, `metadata`, `files`;
each imports from those behind it only.
"""
