"""C-GET as service class provider: what was asked for comes back on the association it was asked for on.

The requester has taken the provider's role for storage in the contexts it wants objects under (role selection,
PS3.7 D.3.3.4); what has none of them counts as failed.

References
----------
PS3.4 C.4.3 (C-GET), C.5.3 (negotiation)
"""

from itertools import zip_longest

from pacs_gateway.access.policy import Action
from pacs_gateway.dimse.query.retrieval import Source, fail_retrieval
from pacs_gateway.dimse.service import Exchange

_MOST_MESSAGE_IDS = 0xFFFF


class GetService:
    """Serves C-GET."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def serve(self, exchange: Exchange) -> None:
        """Send every instance the request names, and answer."""
        retrieval = self._source.begin(exchange, Action.READ)
        for number, (stored, following) in enumerate(zip_longest(retrieval.instances, retrieval.instances[1:])):
            if retrieval.is_over:
                break
            message_id = number % _MOST_MESSAGE_IDS + 1
            retrieval.deliver(exchange.association, stored, message_id=message_id, following=following)
        retrieval.finish()

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request for which ``serve`` raised `error`."""
        fail_retrieval(exchange, error)
