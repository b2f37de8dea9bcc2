"""Which store is meant."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sse_relay.commands.exits import Exit, UserError, require

if TYPE_CHECKING:
    from sse_relay.stores.redis import RedisStore

__all__ = ["store_of"]

_SCHEMES = {"redis", "rediss", "unix"}
_FORMS = "redis://host:6379/0, rediss://… or unix:///path; of a Cluster with ?cluster=1"
_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def store_of(url: str | None, prefix: str) -> "RedisStore":
    """
    Make the store of a URL, which may have a password: it is never shown.

    Raises:
        UserError: It is none, or what it needs is not installed.
    """
    if not url:
        raise UserError(f"say which store is meant: --store or SSE_RELAY_STORE, as {_FORMS}", Exit.MISUSED)
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        told = "a memory store lives inside its process, and no other sees it: follow its runs by URL, as in tail URL"
        raise UserError(told, Exit.MISUSED)
    if scheme not in _SCHEMES:
        raise UserError(f"the store's URL begins with none of redis, rediss, unix: write {_FORMS}", Exit.MISUSED)
    require("redis", "redis")
    from sse_relay.stores.redis import RedisStore  # noqa: PLC0415 - help is shown without it

    try:
        address, cluster = _cluster_apart(url)
        return RedisStore.from_url(address, cluster=cluster, prefix=prefix)
    except (ValueError, TypeError) as error:
        told = str(error) if str(error).startswith("prefix") else f"the store's URL cannot be read: write {_FORMS}"
        raise UserError(told, Exit.MISUSED) from error


def _cluster_apart(url: str) -> tuple[str, bool]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    cluster = _SWITCH.get(query.pop("cluster", "0"))
    if cluster is None:
        raise ValueError("cluster is 1 or 0")
    if cluster and parts.scheme == "unix":
        raise ValueError("a Cluster has no unix sockets")
    return urlunsplit(parts._replace(query=urlencode(query))), cluster
