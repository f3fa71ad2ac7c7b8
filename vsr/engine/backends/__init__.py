"""The backends that run a generator: one file with a `BACKEND` each, and a line in `select.BACKENDS`."""
