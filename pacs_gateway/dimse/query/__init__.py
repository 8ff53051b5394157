"""Query and retrieve: C-FIND, C-MOVE and C-GET as service class provider (PS3.4 Annex C)."""
