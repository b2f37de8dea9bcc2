"""
Runs in Redis or Valkey: the same promises across processes and machines.

::

    store.py       RedisStore: the operations, each one script, one round trip
    *.lua          what an operation does on the server; prelude.lua is what all of them begin with
    scripts.py     their texts
    lines.py       the connections of a process: to one node, or to each primary of a Cluster
    link.py        one connection, on which all calls of a process are pipelined
    call.py        one call of a script, and what its answer means
    bundle.py      several calls as one
    cluster.py     each call to the node that has its keys; cluster.lua keeps a run whole while its slot moves
    topology.py    who has which slot
    spread.py      what is asked of many partitions at once
    connection.py  connections of our own, whatever client we were given; sentinel.py finds the primary
    options.py     what a store may be told; arguments.py and replies.py: what scripts are given, and answer
    keys.py        the names of what is stored
    codec.py       many frames in one entry, and outcomes
    snapshot.py    what a run's hash tells, and the pages of its log; listing.py: the runs of all partitions
    follower.py    who watches which run
    ear.py         one connection that hears of all of them
    shards.py      one ear to each primary of a Cluster
    checkup.py     how a server is set up: findings.py judges, trial.py tries it with a run
"""

from sse_relay.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
