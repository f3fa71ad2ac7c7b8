"""A job: everything that a run needs before the first frame, how it resumes, and its report."""
