"""From stored bytes to pixels people can look at: decode, transcode, display values, thumbnails; no I/O."""
