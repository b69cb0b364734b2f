"""FILE SYSTEM OPERATIONS: atomic exchange, durable writes, deletion, and whether other users can write to a path."""
