"""A circuit breaker: who calls a server that does not answer is told so at once instead of after all time-outs."""

import logging
import time
from collections.abc import Callable
from threading import Lock

from pacs_gateway.errors import UnavailableError

_log = logging.getLogger(__name__)

_FAILURES = 5
_FAILING_S = 3.0
_TRIAL_EVERY_S = 2.0
_SAY_EVERY_S = 60.0


class Breaker:
    """Opens when a server has done nothing but fail for a while; then one request in two seconds tries it.

    So short an interval costs a server in trouble nothing and an outage is over two seconds after its end, without
    anybody who has to ask for it. Thread-safe.

    Parameters
    ----------
    what
        What is behind it, for messages.
    clock
        Seconds, monotonic.
    """

    def __init__(self, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._lock = Lock()
        self._n_failures = 0
        self._failing_since = 0.0
        self._next_trial = 0.0
        self._is_open = False
        self._said_at = 0.0

    def admit(self) -> None:
        """Return if a request may be made now, be it as a trial.

        Raises
        ------
        UnavailableError
            The breaker is open; says since when.
        """
        with self._lock:
            if not self._is_open:
                return
            now = self._clock()
            if now >= self._next_trial:
                self._next_trial = now + _TRIAL_EVERY_S
                return
            raise UnavailableError(f"{self._what} has not answered for {now - self._failing_since:.0f} s")

    def succeeded(self) -> None:
        """Note an answer, whatever it says: the server is there."""
        with self._lock:
            self._n_failures = 0
            if self._is_open:
                self._is_open = False
                _log.warning("%s answers again after %.0f s", self._what, self._clock() - self._failing_since)

    def failed(self) -> None:
        """Note that there was no answer, or one that says the server cannot work now."""
        with self._lock:
            now = self._clock()
            if self._n_failures == 0:
                self._failing_since = now
            self._n_failures += 1
            if self._n_failures < _FAILURES or now - self._failing_since < _FAILING_S:
                return
            if not self._is_open or now - self._said_at >= _SAY_EVERY_S:
                self._said_at = now
                _log.error("%s has not answered for %.0f s", self._what, now - self._failing_since)
            self._is_open = True
            self._next_trial = now + _TRIAL_EVERY_S
