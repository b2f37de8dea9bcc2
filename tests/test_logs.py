"""What the logs say: one logger, sentences for people, fields for machines, and no secret."""

import ast
import asyncio
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from sse_relay import Relay, StoreUnavailableError
from sse_relay.client.find import outcome_at
from sse_relay.stores.redis import RedisStore
from tests.adapters.servers import on_virtual_time
from tests.adapters.sources import play

PACKAGE = Path(__file__).parent.parent / "src" / "sse_relay"
DOCS = PACKAGE.parent.parent / "docs" / "observability.md"
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}
CANARY = "canary-7f3a"


def fields(records: Iterable[logging.LogRecord]) -> list[tuple[str, object]]:
    """Tell the fields of ours that records have beside their sentence, with their values."""
    plain = {*vars(logging.makeLogRecord({})), "message", "asctime"}
    ours = [record for record in records if record.name == "sse_relay"]
    return [(name, value) for record in ours for name, value in vars(record).items() if name not in plain]


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger, or of `getLogger`, in the package, with where it is."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if (owner == "_logger" and node.func.attr in LEVELS) or node.func.attr == "getLogger":
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_there_is_one_logger() -> None:
    """Whoever configures ``sse_relay`` has configured all there is."""
    asked = {ast.unparse(node) for _, node in calls() if "getLogger" in ast.unparse(node.func)}
    assert asked == {"logging.getLogger('sse_relay')"}


def test_each_sentence_is_written_out() -> None:
    """A record's message is a literal, its values are arguments: whoever groups records by it finds few."""
    said = [(where, node) for where, node in calls() if "getLogger" not in ast.unparse(node.func)]
    assert len(said) > 30
    for where, node in said:
        first = node.args[1] if ast.unparse(node.func).endswith(".log") else node.args[0]
        assert isinstance(first, ast.Constant), where
        assert isinstance(first.value, str), where


def test_the_docs_name_each_field() -> None:
    """The fields that a record may have are those that the page lists."""
    named: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_fields = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "fields"
            if (isinstance(node, ast.keyword) and node.arg == "extra") or is_fields:
                value = node.value  # type: ignore[attr-defined]
                if isinstance(value, ast.Dict) and "_logger" in path.read_text():
                    named |= {ast.unparse(key).strip("'") for key in value.keys if key is not None}
    table = DOCS.read_text().partition("| field | what |\n|---|---|\n")[2].partition("\n\n")[0]
    assert named == {line.split("`")[1] for line in table.splitlines()} == {"run_id", "status", "code", "error_id"}


@on_virtual_time
async def test_an_error_is_found_by_its_run(caplog: pytest.LogCaptureFixture) -> None:
    """The record of a run's end has the error's id, under which the detail was logged; both as fields."""
    async with Relay() as relay:
        run = await relay.start(play("a", ValueError("detail")))
        outcome = await relay.wait(run.id)
        await asyncio.sleep(0)
        await relay.drain(1.0)
    assert outcome.error is not None
    end = {"run_id": run.id, "status": "failed", "code": "internal_error", "error_id": outcome.error.error_id}
    detail = {"code": "internal_error", "error_id": outcome.error.error_id}
    assert [dict(fields([record])) for record in caplog.records] == [detail, end]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@on_virtual_time
async def test_an_ordinary_end_is_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    """What ends without an error is a record of the lowest level: a service has many of them."""
    async with Relay() as relay:
        await relay.wait((await relay.start(play("a"))).id)
        await relay.drain(1.0)
    (record,) = caplog.records
    assert (record.levelname, dict(fields([record]))["status"]) == ("DEBUG", "completed")


def test_the_password_of_a_store_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """A store that does not answer is told of without the password in its address, in the log and in the error."""
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        store = RedisStore.from_url(f"redis://user-{CANARY}:{CANARY}@127.0.0.1:1", deadline=0.5)
        try:
            async with Relay(store) as relay:
                with pytest.raises(StoreUnavailableError) as caught:
                    await relay.start(play("a"))
                await asyncio.sleep(1.5)  # the sweep has tried as well
        finally:
            await store.aclose()
        return f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"

    assert CANARY not in asyncio.run(main())
    assert CANARY not in caplog.text
    assert "the sweep for dead producers failed" in caplog.text


def test_the_address_of_a_relay_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """A client that gets no answer logs neither the password, nor the key, nor the query of what it has asked."""
    caplog.set_level(logging.INFO)

    class Broken:
        async def send(self, *_: object, **__: object) -> object:
            raise OSError

    url = f"http://{CANARY}:{CANARY}@127.0.0.1:1/runs/{CANARY}/events?token={CANARY}"
    assert asyncio.run(outcome_at(Broken(), url, {"authorization": CANARY})) is None  # type: ignore[arg-type]
    assert "a relay gave no answer" in caplog.text
    assert CANARY not in caplog.text
