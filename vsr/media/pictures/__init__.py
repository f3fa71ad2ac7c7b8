"""Still pictures: what their files contain besides the samples, and how they are read and written."""
