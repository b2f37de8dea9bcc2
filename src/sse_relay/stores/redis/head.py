"""What all appends by one grant have in common, written once."""

from urllib.parse import quote_from_bytes

from sse_relay.stores.redis.arguments import plain
from sse_relay.stores.redis.keys import Keys
from sse_relay.stores.redis.resp import pack

__all__ = ["Head"]


class Head:
    """
    Write the arguments of ``append.lua``.

    Args:
        keys: Makes the names.
        run_id: The run.
        epoch: Its epoch, of the grant.
        fence: The grant's.
        bounds: How long its log may grow.

    Attributes:
        keys: The keys of the script.
        count: How many words `words` writes.
    """

    __slots__ = ("_bounds", "_fence", "_form", "_names", "_told", "_told_size", "count", "keys")

    def __init__(self, keys: Keys, run_id: str, epoch: str, fence: int, bounds: tuple[bytes, ...]) -> None:
        self.keys: tuple[str] = (keys.run(run_id),)
        self.count: int = 2 + 9 + len(bounds)
        self._fence = plain(fence)
        self._told = b"log %b %b " % (quote_from_bytes(plain(run_id), safe=".:{}_-").encode(), epoch.encode())
        self._told_size = len(self._told) + 2
        self._names = keys.recent(run_id).encode(), keys.log(run_id).encode(), keys.wakes(run_id).encode()
        self._bounds = bounds
        before, behind = (
            pack(*words).partition(b"\r\n")[2].replace(b"%", b"%%")
            for words in ((b"1", self.keys[0].encode(), self._fence), (*self._names, *bounds))
        )
        told = self._told.replace(b"%", b"%%")
        number, packed = b"$%d\r\n%b\r\n", b"$%d\r\n%b\r\n$0\r\n\r\n"
        said = b"$%d\r\n" + told + b"%b %b \r\n"
        self._form = before + number + number + packed + said + behind

    def words(self, first: int, last: int, packed: bytes) -> bytes:
        """Write the key and the arguments of an append that does not seal, each as the server reads it."""
        begin, end, before, count = b"%d" % first, b"%d" % last, b"%d" % (first - 1), b"%d" % (last - first + 1)
        said = self._told_size + len(begin) + len(count)
        return self._form % (len(before), before, len(end), end, len(packed), packed, said, begin, count)

    def args(self, first: int, last: int, packed: bytes, outcome: bytes) -> tuple[bytes, ...]:
        """Tell the arguments."""
        said = b"%b%d %d " % (self._told, first, last - first + 1)
        return self._fence, b"%d" % (first - 1), b"%d" % last, packed, outcome, said, *self._names, *self._bounds
