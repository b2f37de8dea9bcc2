"""What a store in Redis may be told."""

import inspect

from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.options import Options


def test_every_option_is_one_of_the_store() -> None:
    """What `from_url` takes is what the store takes, and nothing is left out."""
    taken = inspect.signature(RedisStore).parameters
    assert Options.__annotations__.keys() == {name for name, each in taken.items() if each.kind is each.KEYWORD_ONLY}
