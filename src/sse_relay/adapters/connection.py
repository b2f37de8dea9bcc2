"""
The other end of one response: whether it is there, and whether it reads.

Rules of this file:

- One task writes, a second one waits for ``http.disconnect``. `send` after a disconnect may be a silent no-op, raise
  OSError, or never return: so `receive` is watched, OSError is a disconnect, and every write has a deadline.
- Disconnect and deadline interrupt the writing task as `asyncio.timeout` would: by a cancellation that is taken back.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from sse_relay.adapters.messages import Message, Receive, Send

__all__ = ["Client", "ClientGoneError", "detached", "listen"]

_tasks: set["asyncio.Task[None]"] = set()
_logger = logging.getLogger("sse_relay")


class ClientGoneError(Exception):
    """The client is gone, and the response does not go on without it."""


class Client:
    """
    The other end of one response; as a context manager around the writing it ends that when the client goes.

    Args:
        send: The server's.
        timeout: How long one write may take before the client is given up, in seconds; None: for ever.
        patient: Whether the response goes on without it: a client that leaves then interrupts a write only.

    Attributes:
        gone: Whether nothing more is sent.
    """

    __slots__ = (
        "_cancelling", "_interrupted", "_loop", "_patient", "_send", "_sending", "_since", "_task", "_timeout",
        "_timer", "gone",
    )  # fmt: skip

    def __init__(self, send: Send, timeout: float | None, *, patient: bool = False) -> None:
        self.gone: bool = False
        self._send = send
        self._timeout = timeout
        self._patient = patient
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._sending = self._interrupted = False

    async def send(self, message: Message) -> None:
        """
        Send, within the time that one write may take.

        Raises:
            ClientGoneError: There is nobody to send to; a patient client is then passed over in silence.
        """
        if not self.gone:
            if self._timeout is not None:
                self._since = self._loop.time()
                if self._timer is None:
                    self._timer = self._loop.call_at(self._since + self._timeout, self._check, self._timeout)
            self._sending = True
            try:
                await self._send(message)
            except OSError:
                self.gone = True
            except asyncio.CancelledError:
                if not self._take_back():
                    raise
            finally:
                self._sending = False
        if self.gone and not self._patient:
            raise ClientGoneError

    def leave(self) -> None:
        """Take the client for gone: interrupt a write, and the reading unless the response is to go on without it."""
        if self.gone:
            return
        self.gone = True
        if self._task is not None and (self._sending or not self._patient):
            self._interrupted = True
            self._task.cancel()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> bool:
        ours = self._take_back()
        self._task = None
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return isinstance(exc, ClientGoneError) or (ours and isinstance(exc, asyncio.CancelledError))

    def _take_back(self) -> bool:
        """Take our own cancellation back; False: there was none, or somebody else asked too, and it goes on."""
        if not self._interrupted or self._task is None:
            return False
        self._interrupted = False
        return self._task.uncancel() <= self._cancelling

    def _check(self, timeout: float) -> None:
        self._timer = None
        if self._sending:
            if self._loop.time() >= self._since + timeout:
                self.leave()
            else:
                self._timer = self._loop.call_at(self._since + timeout, self._check, timeout)


async def listen(receive: Receive, client: Client) -> None:
    """Wait for the client to leave, and say so."""
    try:
        while (await receive())["type"] != "http.disconnect":
            pass  # the rest of a request body that the application did not want
    except Exception:
        _logger.warning("the server's receive failed; the client is taken for gone", exc_info=True)
    finally:
        client.leave()


async def detached(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work that goes on when we are cancelled, however often."""
    task = asyncio.Task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    await asyncio.shield(task)
