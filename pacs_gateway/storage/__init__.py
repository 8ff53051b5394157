"""Where bytes are kept: the object store contract with its backends, and the durable spool before it."""
