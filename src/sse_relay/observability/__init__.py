"""
What runs and viewers do, told to whoever watches over a service; nothing is told, and nothing paid, unless asked for.

::

    protocol.py       Observer: the hooks, for an observer of your own
    shield.py         an observer that fails breaks nothing
    opentelemetry.py  OpenTelemetry: spans and metrics; the one module that needs its package
    spans.py          a span a run, a span a viewer
    instruments.py    the metrics: names, units, buckets

Example:
    >>> from sse_relay.observability import Observer
    >>> class Ends(Observer):
    ...     def run_ended(self, run_id, outcome, seconds):
    ...         print(outcome.status)
    >>> async def source():
    ...     yield "Hello"
    >>> async def main():
    ...     async with Relay(observer=Ends()) as relay:
    ...         run = await relay.start(source())
    ...         await relay.wait(run.id)
    ...         await relay.drain()
    >>> asyncio.run(main())
    completed
"""

from typing import TYPE_CHECKING

from sse_relay.observability.protocol import Observer, RunObserver, ViewerObserver

if TYPE_CHECKING:
    from sse_relay.observability.opentelemetry import OpenTelemetry

__all__ = ["Observer", "OpenTelemetry", "RunObserver", "ViewerObserver"]


def __getattr__(name: str) -> object:
    if name != "OpenTelemetry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sse_relay.observability.opentelemetry import OpenTelemetry  # noqa: PLC0415 - only who uses it needs its vendor

    globals()[name] = OpenTelemetry
    return OpenTelemetry
