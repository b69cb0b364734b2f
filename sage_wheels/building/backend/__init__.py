"""BUILD BACKENDS: their process, environment variables and hooks."""
