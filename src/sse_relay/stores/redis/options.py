"""What a store in Redis may be told, besides where its server is."""

from typing import Literal, TypedDict

__all__ = ["Options"]


class Options(TypedDict, total=False):
    """The keyword arguments of a `RedisStore`."""

    prefix: str
    retention: float
    max_events: int | None
    max_bytes: int | None
    on_full: Literal["fail", "trim"]
    replicas: int
    replica_timeout: float
    deadline: float
    probe: float
