"""Deltas or events → one dialect's events."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable
from json.encoder import encode_basestring
from typing import Any

from sse_relay.combinators.chat_items import ChatItems
from sse_relay.combinators.source import require_dialect, to_event
from sse_relay.combinators.stage import Stage, close, require_source
from sse_relay.dialects.deltas import TextDelta
from sse_relay.dialects.native import Native
from sse_relay.dialects.openai_chat import OpenAIChat
from sse_relay.dialects.protocol import Dialect, Recogniser, RenderContext, TerminalPart, render_end
from sse_relay.wire.event import Fields, ServerSentEvent, make_event

__all__ = ["openai_chat", "render"]

_NATIVE = Native()


def render(source: AsyncIterable[object], dialect: Dialect) -> Stage[ServerSentEvent]:
    """
    Speak one dialect: ``render(guard_terminal(source), dialect)`` also renders how the stream ended.

    A native terminal, or one that another combinator recognised, becomes the dialect's; a source that returns without
    one has ``completed``. What it raises passes through. Pure comments pass through.

    **Order and delivery**: in order; an item becomes any number of events; the last one carries the `Outcome`. The
    status of an item is on the first event that comes of it.
    **Closing**: closes the source. **Cancellation** of the reader closes it too. **Buffering**: the events of one item.

    Args:
        source: Whatever `as_events` takes.
        dialect: What the reader speaks.

    Raises:
        TypeError: `source` is not an async iterable, or `dialect` not a dialect.
    """
    require_source(source)
    require_dialect(dialect)
    return Stage(_rendered(source, dialect), source)


def openai_chat(
    source: AsyncIterable[object], *, model: str, completion_id: str | None = None, include_usage: bool = False
) -> Stage[ServerSentEvent]:
    """
    Speak as OpenAI's Chat Completions do: chunks, one with the ``finish_reason``, ``[DONE]``; or one ``{"error": …}``.

    A string is text. Deltas are what they say, and so are chunks of OpenAI's and messages of Letta's, as dicts, objects
    of an SDK, events, or a string of whole frames, which the source may yield together; where it divides them, or puts
    comments between them, read it by `from_sse` first. Its own end (``[DONE]``, an error, a stop reason that is a
    failure) is the end. What it raises passes through, so that a guard belongs around one of the two:
    ``openai_chat(guard_terminal(source), …)`` or ``guard_terminal(openai_chat(source, …), dialect=OpenAIChat())``.

    **Order and delivery**, **closing**, **cancellation**, **buffering**: as `render`.

    Args:
        source: Whatever `as_events` takes.
        model: What the chunks say the model is.
        completion_id: Their id; None: a random one.
        include_usage: Whether the token usage is told, in a chunk of its own: what ``stream_options`` asks for.

    Raises:
        TypeError: `source` is not an async iterable.
    """
    require_source(source)
    dialect = OpenAIChat(model=model, completion_id=completion_id, include_usage=include_usage)
    return Stage(_rendered(source, dialect, ChatItems()), source)


async def _rendered(
    source: AsyncIterable[object], dialect: Dialect, items: ChatItems | None = None
) -> AsyncGenerator[ServerSentEvent, None]:
    recogniser = items or Recogniser(_NATIVE)
    outcome = status = None
    try:
        renderer = dialect.renderer(RenderContext(run_id=secrets.token_hex(16), created_at=time.time()))
        opening = renderer.preamble()  # comes with the first item, so that an error before it is still an HTTP error
        around_text: tuple[str, str] | None = getattr(renderer, "around_text", None)
        before, behind = around_text or ("", "")
        head = "data: " if (before + behind).isprintable() else None  # the text's own line breaks are escaped
        says = items is not None  # that a string is text, whatever is in it
        short = False  # whether a text may take the short way
        async for item in source:
            # Nearly all of a stream that is open: to write it as an event and read it back costs more than the rest.
            text = item if type(item) is str else _text(item)
            if short and text and ((":" not in text or text[-1] not in "\r\n") if says else text[0] not in "{["):
                said: Any = Fields()  # what make_data does, and its call would cost a twentieth of the whole
                said.data = f"{before}{encode_basestring(text)}{behind}"
                said._head = head  # noqa: SLF001
                said.event = said.id = said.retry = said.comment = said.outcome = said.status = None
                said.__class__ = ServerSentEvent
                yield said
                continue
            for event in (to_event(item),) if items is None else items.events(item):
                if event.data is None:
                    yield event
                    continue
                if isinstance(event, TerminalPart):
                    continue  # of another dialect's end: this one makes its own of the outcome
                outcome = recogniser.outcome_of(event)
                status = event.status or status
                if outcome is not None:
                    break
                events = [*opening, *renderer.event(0, event)]
                opening = ()
                if status is not None and events:
                    events[0] = events[0].replace(status=status)
                    status = None
                short = around_text is not None and status is None
                for rendered in events:
                    yield rendered
            if outcome is not None:
                break
        events = [_as_part(event) for event in opening]
        events += render_end(renderer, outcome or recogniser.completed())
        events[0] = events[0].replace(status=status)
        for rendered in events:
            yield rendered
    finally:
        await close(source)


def _text(item: object) -> str | None:
    """Tell what is nothing but a text of the first choice."""
    return item.text if type(item) is TextDelta and item.choice == 0 and type(item.text) is str else None


def _as_part(event: ServerSentEvent) -> ServerSentEvent:
    part: ServerSentEvent = make_event(event.data, event.event, event.id, event.retry, event.comment, cls=TerminalPart)
    return part
