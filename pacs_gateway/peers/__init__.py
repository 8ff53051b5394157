"""Other archives and modalities, as somebody we call: echo, find, send, fetch."""
