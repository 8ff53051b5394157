"""Storage commitment, as provider and as user (PS3.4 Annex J)."""
