"""Many inputs in one run: which files, under which names, what is finished, and one after the other."""
