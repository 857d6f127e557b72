"""What should happen next: pure decisions without I/O, clock or randomness."""
