"""Presentation states: how somebody wanted an image to be shown, applied as a pure function (PS3.4 N, PS3.3 C.11)."""
