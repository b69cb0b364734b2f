"""INPUTS OF A BUILD: everything that its result depends on. Their digest is the key of the result in the store."""
