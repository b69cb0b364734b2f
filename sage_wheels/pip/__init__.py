"""PIP'S COMMAND LINE: pip resolves, downloads and builds; this tool makes the change, as one transaction."""
