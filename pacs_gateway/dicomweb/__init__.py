"""Wire codec of DICOMweb (PS3.18): media types, multipart bodies, DICOM JSON; no sockets, no web framework."""
