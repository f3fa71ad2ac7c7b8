"""What a file contains: the headers, the first frame, and what must be measured because no header says it."""
