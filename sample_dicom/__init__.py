"""Synthetic studies to try the gateway with: drawn phantoms, invented Vietnamese patients, valid DICOM.

``generate`` makes the full set; ``python -m sample_dicom`` is the same from a shell.
"""

from sample_dicom.generation import generate

__all__ = ["generate"]
