"""Pictures in and out: one still picture, numbered pictures, animated pictures."""
