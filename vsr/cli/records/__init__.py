"""What the command writes for programs and for archives: reports, events and log files."""
