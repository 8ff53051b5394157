"""Vocabulary: frozen values and pure functions, no I/O."""
