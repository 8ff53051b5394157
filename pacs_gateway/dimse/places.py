"""How many associations one device may have at once: one that runs wild leaves room for the others (promise B3)."""

import threading
from collections import Counter


class Places:
    """Counts each device's associations with this process.

    Parameters
    ----------
    most
        Associations one device may have at once.

    Notes
    -----
    Thread-safe.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._n_taken: Counter[str] = Counter()
        self._mutex = threading.Lock()

    def take(self, ae_title: str) -> bool:
        """Take a place for the device `ae_title`; return whether there was one."""
        with self._mutex:
            is_free = self._n_taken[ae_title] < self.most
            self._n_taken[ae_title] += is_free
            return is_free

    def leave(self, ae_title: str) -> None:
        """Give back a place that was taken."""
        with self._mutex:
            self._n_taken[ae_title] -= 1
            if not self._n_taken[ae_title]:
                del self._n_taken[ae_title]
