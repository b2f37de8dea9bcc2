"""What the tests of the benchmarks look for."""

from time import monotonic

from benchmarks.measure import Table
from benchmarks.redis_server import Server

__all__ = ["has_connections", "targets"]


def targets(table: Table) -> list[str]:
    """What a table judges, in the order of its rows."""
    return [verdict.target for _, verdict in table.verdicts()]


def has_connections(server: Server, count: int) -> bool:
    """Whether a server has so many connections, soon: it learns a little later of those that were closed."""
    until = monotonic() + 5
    while len(server.client.client_list()) != count:
        if monotonic() > until:
            return False
    return True
