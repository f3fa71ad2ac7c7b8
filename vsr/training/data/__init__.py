"""Datasets: folders of images, videos and pairs, which are opened, checked and sampled."""
