"""Everything of a source that is not its video stream: the plan of what is copied, converted or left out, and
the copier that carries it out.
"""
