"""OHIF: fetching and preparing it for this installation, and serving it."""
