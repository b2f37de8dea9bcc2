"""The demo: a small ASGI app and one page. `sse-relay demo` serves it; it needs the extra ``demo``."""

from sse_relay.demo.app import DemoApp
from sse_relay.demo.modes import Timings

__all__ = ["DemoApp", "Timings"]
