"""The servers."""

from tests.stores.redis.conftest import prefix, server

__all__ = ["prefix", "server"]
