"""What several scripts of this folder share."""
