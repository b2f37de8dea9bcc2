"""HTTP/2, which hypercorn speaks: many streams on one connection, of which some are left and some are not read."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.servers.clients import epoch_of, ids, without_beats
from tests.servers.places import FRAMEWORKS, PINNED, ROOT, Place, served
from tests.servers.plays import FLOOD, WORDS

FORBIDDEN = {"connection", "keep-alive", "transfer-encoding", "upgrade"}


def seen(framework: str) -> dict[str, Any]:
    """Let a client in a process of its own watch; tell what it saw."""
    with served(Place("hypercorn", framework, pinned=True), SEND_TIMEOUT=2) as up:
        path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
        command = [str(PINNED), "-m", "tests.servers.http2", str(up.port)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=55,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stderr}\n{up.log}"
        assert "Traceback" not in up.log, up.log
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.evidence
@pytest.mark.timeout(90)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_many_streams_share_a_connection(framework: str) -> None:
    """F, L4, L7: 51 get the same bytes in time; one that leaves is noticed, one that is not read is dropped."""
    told = seen(framework)
    headers = dict(told["headers"])
    assert headers[":status"] == "200"
    assert headers["content-type"].startswith("text/event-stream")
    assert not FORBIDDEN & set(headers)
    assert not told["early"]
    bodies = [without_beats(body.encode()) for body in told["bodies"]]
    assert set(bodies) == {b"".join(ids(epoch_of(bodies[0]), WORDS))}

    assert told["viewers"] == 2
    assert told["gone"]
    assert told["state"]["status"] == "running"
    assert "event: end" in told["stayed"]

    assert told["read"] == FLOOD + 1
    assert told["dropped"]
    assert told["stuck"] <= 65_535  # what the window let through
    # A limit: hypercorn neither ends nor resets a stream that its application has given up. Its client misses the
    # heartbeats.
    assert not told["stuck knows"]
