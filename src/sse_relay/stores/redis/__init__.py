"""
Runs in Redis or Valkey: the same promises across processes and machines.

::

    store.py       RedisStore: the operations, each one script, one round trip
    *.lua          what an operation does on the server; prelude.lua is what all of them begin with
    scripts.py     their texts
    link.py        one connection, on which all calls of a process are pipelined
    connection.py  connections of our own, whatever client we were given
    keys.py        the names of what is stored
    codec.py       many frames in one entry, and outcomes
    snapshot.py    what a run's hash tells, and the pages of its log
    follower.py    who watches which run
    ear.py         one connection that hears of all of them
"""

from sse_relay.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
