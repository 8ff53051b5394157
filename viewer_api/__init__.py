"""The gateway's web side: DICOMweb, portal and viewer over FastAPI."""
