"""BUILD ENVIRONMENTS: choose wheels for the build requirements, and make them importable for the backend."""
