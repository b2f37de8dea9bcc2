"""What a request says: where its client stands in a stream, and which request it repeats."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from sse_relay.adapters.messages import Scope
from sse_relay.wire.cursor import Cursor

__all__ = ["cursor_of", "header_of", "path_of", "query_of"]

_OFFSET = re.compile(r"0|[1-9][0-9]{0,17}")


def header_of(scope: Scope, name: bytes) -> str | None:
    """Tell a header's value; None: there is none, or it is empty."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "").strip(" \t") or None


def query_of(scope: Scope) -> Mapping[str, str]:
    """Tell the fields of the query; of those of one name, the last."""
    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))


def path_of(scope: Scope) -> str:
    """Tell the path below where the application is mounted; a proxy may have taken the front of it away already."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


def cursor_of(scope: Scope) -> Cursor | int | None:
    """
    Tell what the client has seen: ``Last-Event-ID``, else ``?after=``, a cursor or an offset; None: nothing.

    The header wins: an ``EventSource`` that reconnects repeats its first query beside it.

    Raises:
        InvalidCursorError: It is none of them.
    """
    if (last_id := header_of(scope, b"last-event-id")) is not None:
        return Cursor.parse(last_id)
    after = query_of(scope).get("after")
    if not after:
        return None
    return int(after) if _OFFSET.fullmatch(after) else Cursor.parse(after)
