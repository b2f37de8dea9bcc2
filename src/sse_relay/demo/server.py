"""The demo under uvicorn, on a socket that was opened before: what is wrong with the address is known at once."""

import socket

import uvicorn

from sse_relay.demo.app import DemoApp

__all__ = ["DemoServer", "listen"]

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """
    Open the port.

    Raises:
        OSError: The port is in use or not for us, or the host is not one of this machine.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)


class DemoServer(uvicorn.Server):
    """A server that ends its runs before it leaves, so that no page is left with half a text and no word."""

    def __init__(self, app: DemoApp) -> None:
        # A drained app ends every response; should one not, its connection is cut.
        super().__init__(
            uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=5, server_header=False)
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End every run, then the server."""
        await self._app.drain()
        await super().shutdown(sockets)
