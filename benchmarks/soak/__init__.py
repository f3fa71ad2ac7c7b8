"""All attacks of tests/faults with many cases, as one table (`make soak`)."""
