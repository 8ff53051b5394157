"""The index: rows written in batches, queries compiled to SQL."""
