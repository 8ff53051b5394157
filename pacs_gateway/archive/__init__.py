"""The use cases, and the only writer of bytes and facts: ingest, search, retrieve, derive."""
