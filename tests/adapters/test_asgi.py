"""The face of the HTTP edge: what an application imports, and nothing that needs a framework."""

import subprocess
import sys

from sse_relay.adapters import asgi


def test_every_name_is_there() -> None:
    """The names of the contract are importable from one place, and each says what it is."""
    assert set(asgi.__all__) == {
        "AccessRequest", "EventStreamResponse", "ProblemResponse", "RelayApp", "ResponsesApp", "drained_app",
        "draining", "relay_app", "respond", "response_of", "responses_app",
    }  # fmt: skip
    assert all(getattr(asgi, name).__doc__ for name in asgi.__all__)


def test_no_framework_is_imported() -> None:
    """The edge runs under any ASGI framework, and needs none."""
    program = "import sys, sse_relay.adapters.asgi; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"starlette", "fastapi", "anyio", "uvicorn", "httpx2", "redis"} & set(loaded)
