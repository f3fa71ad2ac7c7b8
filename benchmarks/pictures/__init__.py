"""The pictures of README.md, the how-tos and the model cards, and the letters of labels in pictures."""
