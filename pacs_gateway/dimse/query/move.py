"""C-MOVE as service class provider: what was asked for goes to a registered device, on associations of ours.

A destination is a device with that AE title and a HOST PORT; it is sent only what it may see itself. What it does not
take, and what cannot be sent, counts as failed and does not stop the rest.

References
----------
PS3.4 C.4.2 (C-MOVE), PS3.7 9.1.1.1 (Move Originator AE Title and Message ID)
"""

import logging
from collections import deque
from typing import cast

from pynetdicom.dimse_primitives import C_MOVE

from pacs_gateway.access.policy import Action, scope
from pacs_gateway.archive.stored import StoredInstance
from pacs_gateway.dimse.caller import caller_of
from pacs_gateway.dimse.command import Field
from pacs_gateway.dimse.config import DimseConfig
from pacs_gateway.dimse.ports import Destinations
from pacs_gateway.dimse.query.retrieval import Retrieval, Source, fail_retrieval
from pacs_gateway.dimse.query.suboperations import RetrieveStatus
from pacs_gateway.dimse.scu.destination import remote_of
from pacs_gateway.dimse.scu.planning import Batch, plan
from pacs_gateway.dimse.scu.requestor import Remote, associate
from pacs_gateway.dimse.scu.sending import Originator
from pacs_gateway.dimse.service import Exchange
from pacs_gateway.dimse.status import StoreStatus
from pacs_gateway.errors import GatewayError, RefusedError

logger = logging.getLogger(__name__)

# Associations one after the other that ended before the destination had taken anything.
_MOST_BARREN = 3


class MoveService:
    """Serves C-MOVE."""

    def __init__(self, source: Source, destinations: Destinations, config: DimseConfig) -> None:
        self._source = source
        self._destinations = destinations
        self._config = config

    def serve(self, exchange: Exchange) -> None:
        """Send every instance the request names to its destination, and answer."""
        called = exchange.association.acceptor.ae_title
        wanted = cast(C_MOVE, exchange.request).MoveDestination or ""
        destination = self._destinations.destination(wanted, called=called)
        if destination is None:
            comment = "the move destination is not registered with an address"
            exchange.answer({Field.STATUS: RetrieveStatus.DESTINATION_UNKNOWN, Field.ERROR_COMMENT: comment})
            return
        remote = remote_of(destination, calling=called, tls=self._config.tls)
        retrieval = self._source.begin(exchange, Action.MOVE)
        visible = scope(caller_of(destination))
        allowed = [stored for stored in retrieval.instances if visible.includes(stored.facility)]
        if retrieval.instances and not allowed:
            raise RefusedError("the destination may not read this")
        forbidden = [stored for stored in retrieval.instances if not visible.includes(stored.facility)]
        retrieval.give_up(forbidden, StoreStatus.NOT_AUTHORISED, "the destination may not read some of this")
        for batch in plan(allowed, taken=frozenset(destination.transfer_syntaxes)):
            self._send(retrieval, batch, remote, Originator(exchange.device.ae_title, exchange.message_id))
        retrieval.finish()

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request for which ``serve`` raised `error`."""
        fail_retrieval(exchange, error)

    def _send(self, retrieval: Retrieval, batch: Batch[StoredInstance], remote: Remote, originator: Originator) -> None:
        """Send a batch on one association, and on another where the destination broke that off after taking something.

        What it broke off at counts as failed: sent once more it might do the same again.
        """
        waiting = deque(batch.instances)
        if not batch.proposals:
            problem = "the receiver takes no such object, or not in this form"
            retrieval.give_up(waiting, StoreStatus.SOP_CLASS_NOT_SUPPORTED, problem)
            return
        n_barren, problem = 0, "the destination broke off its associations"
        while waiting and n_barren < _MOST_BARREN and not retrieval.is_over:
            n_before = retrieval.operations.n_completed
            try:
                with associate(remote, batch.proposals, self._config) as association:
                    while waiting and association.is_established and not retrieval.is_over:
                        retrieval.deliver(
                            association,
                            waiting.popleft(),
                            message_id=association.next_message_id(),
                            originator=originator,
                            following=waiting[0] if waiting else None,
                        )
            except GatewayError as error:
                logger.warning("C-MOVE to %s failed: %s", remote.ae_title, error)
                is_rejected = isinstance(error, RefusedError)
                problem = f"the destination {'rejects our association' if is_rejected else 'cannot be reached'}"
                break
            n_barren = 0 if retrieval.operations.n_completed > n_before else n_barren + 1
        if waiting and not retrieval.is_over:
            retrieval.give_up(waiting, StoreStatus.PROCESSING_FAILURE, problem)
