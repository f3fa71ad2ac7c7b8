"""Speed and memory beside other programs: whole runs, networks alone, host programs, start and training."""
