"""A C-STORE SCU that sends encoded data sets exactly as they are, whatever they are."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.scripted_peer import VERIFICATION, ScriptedPeer, context, context_results, p_data, pdv, store_rq

_FRAGMENT_BYTES = 60_000
_ERROR_COMMENT = 0x902
NOT_NEGOTIATED = -1
"""Stands for a status where the presentation context was refused."""


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What a C-STORE was answered."""

    status: int
    comment: str = ""


class RawSender:
    """One association that proposes one SOP class in one transfer syntax."""

    def __init__(
        self,
        port: int,
        *,
        sop_class_uid: str,
        transfer_syntax_uid: str,
        calling: str = "RAWSENDER",
        also_echoes: bool = False,
        timeout_s: float = 60.0,
    ) -> None:
        self._sop_class_uid = sop_class_uid
        self._peer = ScriptedPeer(port, timeout_s=timeout_s)
        contexts = [context(1, sop_class_uid, (transfer_syntax_uid,))]
        if also_echoes:
            contexts.append(context(3, VERIFICATION))
        accept = self._peer.associate(*contexts, calling=calling)
        self._accepted = context_results(accept)[1][0] == 0
        self._n_sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peer.__exit__(kind, error, trace)

    def store(self, sop_uid: str, data_set: bytes) -> StoreAnswer:
        """Send one object and return its answer."""
        if not self._accepted:
            return StoreAnswer(NOT_NEGOTIATED)
        self._n_sent += 1
        request = store_rq(sop_uid, message_id=self._n_sent, sop_class=self._sop_class_uid)
        self._peer.send(p_data(pdv(1, 3, request)))
        pieces = [data_set[at : at + _FRAGMENT_BYTES] for at in range(0, len(data_set), _FRAGMENT_BYTES)] or [b""]
        for number, piece in enumerate(pieces, start=1):
            # A slow gateway may answer before all has been sent; its socket buffer holds that answer.
            self._peer.send(p_data(pdv(1, 2 if number == len(pieces) else 0, piece)))
        status, elements = self._peer.receive_status()
        return StoreAnswer(status, elements.get(_ERROR_COMMENT, b"").decode("ascii").rstrip("\0 "))
