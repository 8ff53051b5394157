"""Passwords: hashing (argon2id), the rule for new ones, and one-time passwords a person can type."""

import os
import secrets
import threading
import unicodedata
from functools import cached_property

from pwdlib import PasswordHash
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher

from pacs_gateway.errors import InputError

MIN_LENGTH = 10
MAX_LENGTH = 256
# Without 0, O, 1, I and l: one-time passwords are read from a screen and typed. 16 of 31 letters are 79 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Passwords:
    """Hashes and verifies passwords with the same work for known and unknown accounts.

    Notes
    -----
    Thread-safe. As many verifications run at once as there are cores: each takes 64 MiB, and a flood of logins
    must not take the memory that receiving needs.
    """

    def __init__(self, hasher: HasherProtocol | None = None) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._slots = threading.BoundedSemaphore(os.cpu_count() or 1)

    def hash(self, password: str) -> str:
        """Return the salted hash to keep."""
        with self._slots:
            return self._hash.hash(_encoded(password))

    def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether `password` is the one; None for an account that does not exist costs the same time."""
        stand_in = self._stand_in  # made before the branch, so that the first call costs the same on both sides
        with self._slots:
            is_right = self._hash.verify(_encoded(password[:MAX_LENGTH]), password_hash or stand_in)
        return is_right and password_hash is not None and len(password) <= MAX_LENGTH

    @cached_property
    def _stand_in(self) -> str:
        return self._hash.hash(secrets.token_bytes(16))


def check_password(password: str, *, name: str) -> None:
    """Refuse a new password that is too short, too long or the account's own name.

    Raises
    ------
    InputError
        Saying the rule, never the password.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InputError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if password.casefold() == name.casefold():
        raise InputError("a password is not the account's name")


def one_time_password() -> str:
    """Return a random password of four groups of four letters."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def _encoded(password: str) -> bytes:
    # One keyboard composes Vietnamese letters, another does not: compare the composed form (RFC 8265 4.2.2).
    # JSON can carry lone surrogates; they are wrong passwords, not crashes.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
