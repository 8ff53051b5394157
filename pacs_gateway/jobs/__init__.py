"""The outbox and the work queue: what must follow a fact is written in the fact's own transaction."""
