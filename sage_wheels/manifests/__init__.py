"""MANIFESTS: which distributions each package of a collection of software has installed, and their state now."""
