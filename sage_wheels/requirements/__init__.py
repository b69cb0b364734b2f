"""REQUIREMENTS: requirements files, lock files, and the meaning of an argument on the command line."""
