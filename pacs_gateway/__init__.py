"""The PACS gateway: library and headless services. It knows no web framework."""

__version__ = "0.1.0"
