"""DICOM message exchange: the listener, the blocking transport, negotiation and the services (PS3.7, PS3.8)."""
