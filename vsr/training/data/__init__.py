"""What is trained on: folders of images, videos and pairs, opened, checked and drawn from."""
