"""What bounds a run, from its report: how busy each thread was, over the course of the run.

`reading` reads a report and says what bounds it, `page` draws it.
"""
