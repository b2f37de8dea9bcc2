"""
The HTTP edge, outbound: a reader that resumes.

::

    sync               both of them without async: connect_sync, collect_sync
    collect            reads a whole stream, and tells how that went
    ├── result            what it tells
    ├── pending           tool calls without a result, put together from their parts
    ├── diary             the last events, for diagnosis
    └── find              the run of a request that died before its first event
    connect            an event stream that resumes by itself, until the server says that it has ended
    ├── resuming          one stream, over as many connections as it takes
    ├── reconnect         when to connect again: EventSource's rules, backoff, Retry-After
    ├── answers           what the head of an answer means
    ├── place             what was seen, and how the rest is asked for
    ├── starting_after    endpoints that count in their payloads
    ├── interruption      a reader that waits, while another task closes
    └── transport         one connection, within its deadlines

httpx2 is imported by the first stream that brings no client of its own.
"""

from sse_relay.client.collect import collect
from sse_relay.client.connect import connect
from sse_relay.client.diary import Entry
from sse_relay.client.find import FindRun
from sse_relay.client.pending import PendingCall
from sse_relay.client.reconnect import Backoff
from sse_relay.client.result import CollectResult
from sse_relay.client.resuming import ResumingEvents
from sse_relay.client.sync import SyncEvents, collect_sync, connect_sync
from sse_relay.exceptions import ConnectionLostError, ResponseRefusedError, ServerBusyError

__all__ = [
    "Backoff",
    "CollectResult",
    "ConnectionLostError",
    "Entry",
    "FindRun",
    "PendingCall",
    "ResponseRefusedError",
    "ResumingEvents",
    "ServerBusyError",
    "SyncEvents",
    "collect",
    "collect_sync",
    "connect",
    "connect_sync",
]
