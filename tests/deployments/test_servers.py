"""The store's own tests, on the newest servers that there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.redis.servers import found

_ROOT = Path(__file__).parents[2]


@pytest.mark.evidence
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["redis-8.", "valkey-8."])
def test_the_store_keeps_its_promises_on_newer_servers(kind: str) -> None:
    """Whatever the store's tests claim holds on Redis 8 and on Valkey 8, too."""
    servers = {name: path for name, path in found().items() if name.startswith(kind)}
    assert servers, "fetch_servers.sh gets it, and SSE_RELAY_REDIS_SERVERS says where it is"
    for name, path in servers.items():
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stores/redis", "-k", name]
        done = subprocess.run(
            command,
            cwd=_ROOT,
            env=os.environ | {"SSE_RELAY_REDIS_SERVERS": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
