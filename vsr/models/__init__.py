"""Networks and their weights: the catalog of names, the only loader, conversion and export."""
