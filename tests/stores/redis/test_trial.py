"""Doing with one run all that is ever done with runs."""

import asyncio
import re
from importlib import resources
from pathlib import Path
from typing import Any

from sse_relay.stores.redis import RedisStore
from sse_relay.stores.redis.findings import Finding
from sse_relay.stores.redis.trial import tried
from tests.stores.redis.servers import Server

PAGE = Path(__file__).parents[3] / "docs" / "redis.md"
# "on", a password, and what matters
RULES = re.findall(r"^ACL SETUSER relay (.*)$", PAGE.read_text(), re.MULTILINE)[0].split()
COMMANDS = {rule.removeprefix("+") for rule in RULES if rule.startswith("+")}
UNTRIED = {"config|get", "info", "eval", "unsubscribe", "xdel", "hget", "hdel"}  # in rare cases


async def levels(server: Server, rules: list[str], deadline: float = 10.0) -> dict[str, Finding]:
    """Try a server as a user with these rules."""
    client: Any = server.client()
    await client.execute_command("ACL", "SETUSER", "ann", "reset", "on", ">x", *rules)
    store = RedisStore.from_url(f"unix://ann:x@{server.socket}", retention=1)
    try:
        return {finding.subject: finding for finding in await tried(store, deadline)}
    finally:
        await store.aclose()
        await client.execute_command("ACL", "DELUSER", "ann")
        await client.aclose()


def test_a_good_server_passes(server: Server) -> None:
    """Where all is allowed, a run lives its life and is heard of."""
    findings = asyncio.run(levels(server, ["+@all", "~*", "&*"]))
    assert {subject: finding.level for subject, finding in findings.items()} == {"runs": "ok", "wake-ups": "ok"}


def test_what_the_page_allows_is_enough(server: Server) -> None:
    """The user whom the page on Redis describes may do all that a store does."""
    findings = asyncio.run(levels(server, RULES[2:]))
    assert {subject: finding.level for subject, finding in findings.items()} == {"runs": "ok", "wake-ups": "ok"}


def test_what_is_not_allowed_is_noticed(server: Server) -> None:
    """Whichever command of the page is missing, the trial says so, and what to do."""

    async def main() -> None:
        for command in COMMANDS - UNTRIED:
            findings = await levels(server, [*RULES[2:], f"-{command}"], 0.3)
            assert "error" in {finding.level for finding in findings.values()}, command
            assert all("docs/redis.md" in each.advice for each in findings.values() if each.level == "error"), command

    asyncio.run(main())


def test_the_page_names_each_command_of_a_script() -> None:
    """What scripts call is what the page allows, beside what connections say."""
    called: set[str] = set()
    for file in resources.files("sse_relay.stores.redis").iterdir():
        if file.name.endswith(".lua"):
            called |= {name.lower() for name in re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", file.read_text("utf-8"))}
    assert len(called) > 15
    assert called <= COMMANDS
    assert {"eval", "evalsha", "publish", "subscribe"} <= COMMANDS
