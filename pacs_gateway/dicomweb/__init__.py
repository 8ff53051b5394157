"""Wire codec of DICOMweb (PS3.18): media types, multipart bodies, DICOM JSON and XML; no sockets, no web framework."""
