"""A run that can be resumed: a work folder with finished segments, and a journal of what is in it."""
