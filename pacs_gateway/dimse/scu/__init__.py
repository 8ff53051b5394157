"""Calling others: associations we ask for, and objects sent over them (PS3.4 B, PS3.8 7.1)."""
