"""DICOMweb (PS3.18 10): search, retrieve, rendered, store; thin routes over the archive's doors."""
