"""
What the library costs, beside a bare loop and its peers: ``python -m benchmarks``; docs/benchmarks.md has the figures.

::

    benchmarks
    ├── combinators    guard, cancellable and keepalive: per item
    ├── edge           the same job with HTTP on top, without a socket: per event
    ├── wire           encode, decode: per event; linear in long ones
    ├── over_http      uvicorn on a socket: events a second, CPU of slow streams
    │   └── fast_run       a run as fast as it goes, and its replay
    ├── crowd          many viewers of one run, over uvicorn:
    │   ├── idle_viewers   memory of each; what they ask of the store
    │   ├── live_viewers   CPU of a send, and how late it is
    │   └── viewed         the process that serves them
    ├── relay          runs that are detached from their requests:
    │   ├── fan_out        one producer, many viewers: per delivery
    │   ├── replay         a log that has ended, as bytes and as events: per event
    │   ├── footprint      memory of a stored event
    │   ├── starting       until the first event
    │   └── many_runs      the same beside 10,000 others
    ├── redis_relay    runs that are kept in Redis, on a server of its own:
    │   ├── redis_writing    until acknowledged: events a second
    │   ├── redis_waiting    until acknowledged, and until seen: of one event
    │   ├── redis_live       viewers of what another process writes
    │   ├── redis_load       that process
    │   ├── redis_replay     a log as bytes, and its end
    │   ├── redis_footprint  memory in Redis; what silent runs ask of it
    │   ├── redis_floor      commands by hand on bare sockets: the least
    │   ├── redis_runs       runs without a relay, and a store that takes the time
    │   └── redis_server     the newest server that is here
    ├── fixtures       the inputs; tests/benchmarks proves that all read them alike
    ├── decoders       one function a peer that decodes
    ├── servers        one application a peer that serves, and the process that serves it
    ├── client         reads streams as fast as they come, and counts
    ├── latencies      percentiles
    └── measure        interleaved runs, medians, tables
"""
