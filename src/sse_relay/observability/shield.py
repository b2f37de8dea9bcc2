"""Call an observer so that whatever it does wrong stays with it."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from sse_relay.observability.protocol import Observer, RunObserver, ViewerObserver

__all__ = ["shielded"]

_logger = logging.getLogger("sse_relay")


def shielded(observer: Observer) -> Observer:
    """
    Make an observer that never raises; what the given one raises is logged, once for each hook.

    Raises:
        TypeError: It is no observer.
    """
    if not all(callable(getattr(observer, hook, None)) for hook in _hooks(Observer)):
        raise TypeError(f"an observer has the hooks of sse_relay.observability.Observer; {observer!r:.80} lacks some")
    return cast("Observer", _Shield(observer, Observer, set()))


class _Shield:
    """Has the hooks of a protocol, each shielded; what a hook returns to be called is shielded, too."""

    def __init__(self, observer: object, protocol: type, failed: set[str]) -> None:
        self.trace = _text(getattr(observer, "trace", ""))
        for hook in _hooks(protocol):
            returned = _RETURNED.get(hook)
            setattr(
                self, hook, partial(_call, f"{protocol.__name__}.{hook}", getattr(observer, hook), returned, failed)
            )


_RETURNED: dict[str, type] = {"run_starting": RunObserver, "viewer_joined": ViewerObserver}


def _hooks(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")]


def _call(name: str, hook: Callable[..., Any], returned: type | None, failed: set[str], *told: object) -> object:
    try:
        answer = hook(*told)
        return None if returned is None or answer is None else _Shield(answer, returned, failed)
    except (Exception, asyncio.CancelledError):
        if name not in failed:
            failed.add(name)
            _logger.exception("an observer failed in %s; it goes on, and further failures there are not logged", name)
        return None


def _text(trace: object) -> str:
    return trace if isinstance(trace, str) else ""
