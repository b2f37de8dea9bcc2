"""The scripts, one a file."""

import asyncio
import hashlib
from importlib import resources

import pytest

from sse_relay.stores.redis import store
from sse_relay.stores.redis.scripts import Script, load
from tests.stores.redis.servers import Server

FILES = [file.name.removesuffix(".lua") for file in resources.files("sse_relay.stores.redis").iterdir()
         if file.name.endswith(".lua")]  # fmt: skip
OPERATIONS = sorted({*FILES} - {"prelude"})


def test_every_file_is_an_operation() -> None:
    """No script is left over: the store uses each file, and each says what it is given."""
    used = {value.name for value in vars(store).values() if isinstance(value, Script)}
    assert used == set(OPERATIONS)
    for name in OPERATIONS:
        assert b"KEYS:" in load(name).text(always=False).source


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_server_takes_each_script(name: str, server: Server) -> None:
    """Each text loads under the name that it is called by; the one for a full memory where it is understood."""

    async def main() -> None:
        client = server.client()
        for always in (False, True) if server.modern else (False,):
            text = load(name).text(always=always)
            assert (await client.script_load(text.source.decode())).encode() == text.sha
        await client.aclose()

    asyncio.run(main())


def test_the_text_for_a_full_memory_says_so() -> None:
    """Only a call that has to get through bears the flag, which must be the very first line."""
    script = load("append")
    plain, always = script.text(always=False), script.text(always=True)
    assert always.source == b"#!lua flags=allow-oom\n" + plain.source
    assert always.sha == hashlib.sha1(always.source).hexdigest().encode() != plain.sha
