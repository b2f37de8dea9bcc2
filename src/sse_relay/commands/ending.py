"""Stop a run, or wait for its end."""

import json

from rich.text import Text

from sse_relay.commands.exits import Exit, UserError, exit_of
from sse_relay.commands.listing import described
from sse_relay.commands.screen import Screen, printable, styled
from sse_relay.commands.store_url import store_of
from sse_relay.dialects.native import outcome_json
from sse_relay.outcome import Outcome
from sse_relay.runs.relay import Relay

__all__ = ["cancel", "wait"]


async def cancel(run_id: str, url: str | None, prefix: str, *, reason: str, grace: float, as_json: bool) -> Exit:
    """Stop a run; done once its end is durable."""
    store = store_of(url, prefix)
    screen = Screen()
    try:
        async with Relay(store) as relay:
            before = await relay.info(run_id)
            run = before if before.outcome is not None else await relay.cancel(run_id, reason, grace)
    finally:
        await store.aclose()
    if as_json:
        screen.write(json.dumps(described(run), ensure_ascii=False) + "\n")
    elif run.outcome is not None:
        screen.show(_said(run.outcome, " (it had ended already)" if before.outcome else ""))
    return Exit.DONE


async def wait(run_id: str, url: str | None, prefix: str, *, timeout: float | None, as_json: bool) -> Exit:  # noqa: ASYNC109 - of the user's
    """Wait for a run's end, and exit by it."""
    store = store_of(url, prefix)
    screen = Screen()
    try:
        async with Relay(store) as relay:
            outcome = await relay.wait(run_id, timeout)
    except TimeoutError as error:
        raise UserError(f"the run had not ended after {timeout:g} s", Exit.NOT_YET) from error
    finally:
        await store.aclose()
    if as_json:
        screen.write(json.dumps(outcome_json(outcome), ensure_ascii=False) + "\n")
    else:
        screen.show(_said(outcome))
    return exit_of(outcome)


def _said(outcome: Outcome, note: str = "") -> Text:
    error = outcome.error
    told = [outcome.reason] if outcome.reason else []
    told += [f"{error.code}: {error.message}"] if error else []
    return styled(outcome.status).append("".join(f", {printable(each)}" for each in told) + note, "default")
