"""One job: what it needs before the first frame, how it is resumed, and what it reports."""
