"""Decoding, drawing and encoding of what strangers sent, in processes that can be lost (promises B9).

A codec is a large parser in C that reads hostile bytes. Here it runs in a child process that has 1.5 GiB of memory and
10 s of processor time, no files, no sockets and no network; whatever becomes of it, the caller gets an answer: the
result, or an `InvalidInstanceError`. A child that is lost is replaced by a fork of a process that has everything
loaded (docs/decisions/0020).

The parts: a `Guard` (what callers hold) asks a `Pool` of children, which a nursery forks; `wire` is what they speak,
`tasks` the table of what a child does, `confinement` what it cannot do.

Use::

    with open_guard() as guard:
        file = guard.draw(header, transfer_syntax_uid, frames, indices, view)
        pieces = transcode.decompress(frames, description, guard.decode_stored)

Another function of `imaging` is added by a line in ``tasks.TASKS`` (the child's side, parameters from JSON and byte
blobs) and a method of `Guard` (the caller's side). The codecs it loads on first use are named in ``tasks.load``: a
child cannot open their files.
"""

from pacs_gateway.guard.guard import Guard, open_guard
from pacs_gateway.guard.nursery import prepare

__all__ = ["Guard", "open_guard", "prepare"]
