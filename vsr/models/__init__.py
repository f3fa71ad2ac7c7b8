"""Networks and their weights: names, the only loader, conversion, export."""
