"""What the objects are: typed and validated, with no behaviour over time."""
