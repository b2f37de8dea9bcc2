"""
One clock for an event loop and its server, which skips what is silent for both.

A run of a minute takes milliseconds, as on a virtual clock; but here a server of its own time answers. So:

- **When** nothing is left to do but to wait for a timer, the loop waits until the server has read whatever was sent to
  it, and then asks it for a sign of life a few times, on another connection: it has answered all of that then. If that
  leaves still nothing to do, the wait is skipped. Nobody's deadline passes because the machine is slow.
- **How** a wait of d is skipped: the loop's clock goes forward by d, and all that is stored is made older by d: the
  times in it, and what is left of every time to live. To scripts, which run as they are, both come to the same.

Between skips both clocks go at the pace of real time.
"""

import asyncio
import fcntl
import math
import selectors
import socket
import termios
import time

from redis import Redis

_BARRIER = 3  # signs of life: a new connection is accepted, read, and answered in three turns of the server's loop
_PATIENCE = 5.0  # real seconds
OLDER = """
local milliseconds = tonumber(ARGV[1])
local names = KEYS[1] and KEYS or redis.call('KEYS', '*')
for _, name in ipairs(names) do
  local kind = redis.call('TYPE', name).ok
  if kind == 'hash' then
    for _, time in ipairs({'created', 'updated', 'ttl'}) do
      redis.call('HINCRBY', name, time, -1000 * milliseconds)
    end
    if (redis.call('HGET', name, 'steady') or '') ~= '' then
      redis.call('HINCRBY', name, 'steady', -1000 * milliseconds)
    end
  elseif kind == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', name, 0, -1)) do
      redis.call('ZINCRBY', name, -1000 * milliseconds, member)
    end
  end
  local left = redis.call('PTTL', name)
  if left > 0 then
    redis.call('PEXPIRE', name, left - milliseconds)
  end
end
"""


class ServerClock(selectors.DefaultSelector):
    """
    Wait as a selector does, or skip the wait.

    Args:
        path: Where the server listens.
        database: The one that all is in; nothing else is in it.

    Attributes:
        skipped: How much was, in seconds.
    """

    def __init__(self, path: str, database: int) -> None:
        super().__init__()
        self.skipped = 0.0
        self._client = Redis(unix_socket_path=path, db=database, client_name="clock")
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(path)
        self._ask(b"CLIENT SETNAME clock\r\n")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Tell what is to be done now; if there is nothing, skip the wait."""
        if (events := super().select(0)) or (timeout is not None and timeout <= 0):
            return events
        self._settle()
        if events := super().select(0):
            return events
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, the server has answered, and no timer is set")
        milliseconds = math.ceil(timeout * 1000)
        self.age(milliseconds)
        self.skipped += milliseconds / 1000
        return []

    def age(self, milliseconds: int, *names: str) -> None:
        """Make all that is stored older, or what is stored under some names."""
        self._client.eval(OLDER, len(names), *names, str(milliseconds))

    def _settle(self) -> None:
        """Wait until the server has answered everything."""
        until = time.monotonic() + _PATIENCE  # what a wire holds is never read
        while any(_unread(key.fd) for key in self.get_map().values()) and time.monotonic() < until:
            self._ask()
        for _ in range(_BARRIER):
            self._ask()

    def _ask(self, what: bytes = b"ECHO alive\r\n") -> None:
        self._line.sendall(what)
        self._line.recv(64)

    def close(self) -> None:
        """Let go of the server."""
        super().close()
        self._line.close()
        self._client.close()


class ServerClockLoop(asyncio.SelectorEventLoop):
    """
    An event loop on one clock with a server.

    Attributes:
        clock: That clock.
    """

    def __init__(self, path: str, database: int) -> None:
        self.clock = ServerClock(path, database)
        super().__init__(self.clock)

    def time(self) -> float:
        """Tell the time, in seconds."""
        return time.monotonic() + self.clock.skipped


def _unread(fd: int) -> bool:
    """Tell whether something that was sent there was not read yet."""
    return fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)) != bytes(4)
