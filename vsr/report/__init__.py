"""Images that show results to people."""
