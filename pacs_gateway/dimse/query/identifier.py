"""The identifier of a query or retrieval: a small data set of keys (PS3.4 C.4.1.1.3)."""

from pacs_gateway.domain.raw_data_set import RawDataSet as Identifier
from pacs_gateway.domain.raw_data_set import RawElement, vr_of

__all__ = ["Identifier", "RawElement", "vr_of"]
