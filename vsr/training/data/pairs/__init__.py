"""Pairs of LR and HR: images and videos in two folders, and the check that they show the same."""
