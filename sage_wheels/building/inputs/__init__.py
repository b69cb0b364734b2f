"""THE INPUTS: everything that the result of a build depends on; the digest of it is the key in the store."""
