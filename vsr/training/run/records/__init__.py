"""What a run tells of itself, while it lasts and afterwards: its log, sample images, and a page of both."""
