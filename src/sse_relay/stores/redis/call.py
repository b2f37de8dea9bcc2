"""Calls of scripts: how they are written, and what an answer means to whoever asked."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import AskError, ClusterDownError, NoScriptError, ResponseError, TryAgainError

from sse_relay.exceptions import StoreUnavailableError
from sse_relay.stores.redis.resp import pack
from sse_relay.stores.redis.scripts import Command, Flavour, Script

__all__ = ["REFUSALS", "Call", "RefusedError", "Written"]


_SETTLES_WITHIN = 0.25  # seconds: long for a server that answers, short for whoever cancels when it does not
REFUSALS = (AskError, TryAgainError, ClusterDownError)
"""What a server says of a call that it has not done; `MovedError` and `MasterDownError` are of these."""


class RefusedError(StoreUnavailableError):
    """Nothing was done: the server said so, or nothing was sent."""


class Call:
    """
    One run of a script.

    Attributes:
        script: Which one, or a command of the server's own.
        keys: Its keys.
        args: Its arguments.
        settles: Whoever asked and is cancelled waits a moment for what was sent, so that as a rule nothing that was
            cancelled is done later.
        asking: The server has it only because the slot is moving there.
        waits: For how many replicas, and for how many milliseconds, the server is to wait after it.
        joins: How much it asks for, if it may be one with others of its kind: then the script's answer is a list, with
            an item for each key; 0: it may not.
        replies: How many the server sends: one to each command.
        future: The answer.
        until: When its answer has to be there.
    """

    __slots__ = (
        "_loads", "_sent", "_settled", "args", "asking", "future", "joins", "keys", "replies", "script", "settles",
        "until", "waits",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - positional, because it is called once an event
        self,
        script: Script | Command,
        keys: Sequence[str],
        args: Sequence[bytes],
        settles: bool = False,  # noqa: FBT001, FBT002
        asking: bool = False,  # noqa: FBT001, FBT002
        waits: tuple[int, int] | None = None,
        joins: int = 0,
    ) -> None:
        self.script: Script | Command = script
        self.keys: Sequence[str] = keys
        self.args: Sequence[bytes] = args
        self.settles: bool = settles
        self.asking: bool = asking
        self.waits: tuple[int, int] | None = waits
        self.joins: int = joins
        self.replies: int = 1 if waits is None and not asking else 1 + asking + (waits is not None)
        self.future: asyncio.Future[Any] = asyncio.Future()
        self.until: float = 0.0
        self._settled: asyncio.Future[None] | None = None  # whoever asked is cancelled, and waits for what was sent
        self._loads = False
        self._sent = False

    @property
    def calls(self) -> "Sequence[Call]":
        """Itself, as a `Bundle` has several."""
        return (self,)

    @property
    def loads(self) -> bool:
        """Whether the server has to be told the script."""
        return self._loads

    def sending(self) -> None:
        """Note that it may reach the server."""
        self._sent = True

    def packed(self, flavour: Flavour) -> bytes:
        """Write the command, and what goes with it."""
        self._sent = True
        packed = self.script.command(flavour, self.keys, self.args, loads=self._loads)
        if self.asking:
            packed = pack(b"ASKING") + packed
        if self.waits is not None:
            packed += pack(b"WAIT", *map(b"%d".__mod__, self.waits))
        return packed

    def answered(self, reply: object) -> bool:
        """Take the answer; tell whether it has to be asked again, because the server did not know the script."""
        if not isinstance(reply, ResponseError):
            if not self.future.done():
                self.future.set_result(reply)
            if self._settled is not None:
                self._settle()
            return False
        if isinstance(reply, NoScriptError) and not self._loads:
            self._loads, self._sent = True, False
            self._settle()
            return not self.future.done()
        self._sent = not isinstance(reply, REFUSALS)
        self.failed(reply)
        return False

    def failed(self, error: BaseException) -> None:
        """Tell whoever asked that it is not known what was done, or that nothing was."""
        if not self.future.done():
            detail = error.detail if isinstance(error, StoreUnavailableError) else f"{type(error).__name__}: {error}"
            told = (StoreUnavailableError if self._sent else RefusedError)(detail)
            told.__cause__ = error
            self.future.set_exception(told)
        self._settle()

    async def left(self) -> None:
        """Whoever asked is cancelled: wait a moment for what was sent to be done, however often that is cancelled."""
        if not (self.settles and self._sent and self.future.cancelled()):
            return
        loop = asyncio.get_running_loop()
        self._settled = loop.create_future()
        until = loop.time() + _SETTLES_WITHIN
        while not self._settled.done() and (left := until - loop.time()) > 0:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._settled}, timeout=left)

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)


class Written(Call):
    """
    One run of a script whose keys and arguments are written already, as there is one an event.

    Args:
        script: Which one.
        keys: Its keys.
        words: How many keys there are, they, and the arguments, as the server reads them.
        count: How many words that is.
    """

    __slots__ = ("_count", "_words")

    def __init__(self, script: Script, keys: Sequence[str], words: bytes, count: int) -> None:
        super().__init__(script, keys, (), True)  # noqa: FBT003 - positional, as above
        self._words = words
        self._count = count

    def packed(self, flavour: Flavour) -> bytes:
        """Write the command."""
        self._sent = True
        script: Any = self.script
        packed: bytes = script.written(flavour, self._words, self._count, loads=self._loads)
        return packed
