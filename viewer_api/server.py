"""uvicorn as we run it: one of several processes on the same sockets; signals and log belong to who starts it."""

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from viewer_api.doorway import Doorway
from viewer_api.patient_protocol import PatientProtocol

_GRACE_S = 30
"""How long answers in flight may take after a SIGTERM (contract)."""
_IDLE_S = 75


class WebServer(uvicorn.Server):
    """Serves an application over HTTP/1.1 on listening sockets."""

    def __init__(self, app: ASGIApp) -> None:
        settings = uvicorn.Config(
            app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(settings)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets=[])
        tasks = self.server_state.tasks
        self.servers = [Doorway(listening, self._protocol, lambda: len(tasks)) for listening in sockets or ()]  # type: ignore[misc] # has what is asked of them

    def _protocol(self) -> asyncio.Protocol:
        return PatientProtocol(self.config, self.server_state, self.lifespan.state)
