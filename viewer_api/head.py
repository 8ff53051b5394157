"""HEAD for everything that GET is for (RFC 9110 9.3.2): the same answer up to where its content would begin."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _AnsweredError(Exception):
    """The head of the answer has been sent: what makes its content may stop."""


class Head:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b""})
            raise _AnsweredError

        inner = {**scope, "method": "GET"}
        try:
            await self._app(inner, receive, send_head)
        except _AnsweredError:
            pass
        finally:
            # What the layers around this one label the request by.
            scope["route"] = inner.get("route")
