"""The end of a run before its work is done: Ctrl-C, SIGTERM, and a run that makes no progress."""
