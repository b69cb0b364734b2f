"""PIP'S COMMAND LINE: pip decides, downloads and builds; what changes is one transaction."""
