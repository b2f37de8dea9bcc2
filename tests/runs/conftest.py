"""The servers of the store in Redis, for what a run owes to a real one."""

from tests.stores.redis.conftest import prefix, server

__all__ = ["prefix", "server"]
