"""SOURCE TREES: make a copy in which a backend sees the same as in the original tree."""
