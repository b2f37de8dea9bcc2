"""Tool-call deltas → text deltas: what a model says by calling a tool."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass, field

from sse_relay.combinators.source import to_event
from sse_relay.combinators.stage import Stage, close, require_source
from sse_relay.dialects.deltas import Finish, ToolCallDelta, delta_of, event_of_text
from sse_relay.dialects.protocol import TerminalPart
from sse_relay.dialects.tool_arguments import ArgumentText
from sse_relay.dialects.tool_calls import ToolCall
from sse_relay.dialects.tool_texts import ToolText, ToolTexts
from sse_relay.wire.event import ServerSentEvent

__all__ = ["tool_argument_text"]

_OF_CALLS = frozenset({"tool_call", "finish"})


def tool_argument_text(
    source: AsyncIterable[object],
    *,
    tool: str = "send_message",
    argument: str | Sequence[str | int] = "message",
    separator: str = "\n\n",
) -> Stage[ServerSentEvent]:
    """
    Turn one string argument of one tool's calls into text, as it grows.

    All deltas of the tool's calls are left out; their text comes as `TextDelta` events, decoded, without half
    characters. Everything else passes through unchanged: other tools' calls, other deltas, events, terminals.

    Parallel calls are kept apart: of each answer, one call speaks at a time, in the order in which their texts begin.
    The text of the others waits until that one has ended, or the answer has finished, or the stream is over. A
    separator is put in front of each text but the first.

    **Order and delivery**: in order, but for text that waits; all of it comes before a ``finish`` of its answer, a
    terminal, the end, and an error of the source. The status of an item is on the first event that comes of it, or on
    the next one.
    **Closing**: closes the source. **Cancellation** of the reader closes it too. **Buffering**: text that waits.

    Args:
        source: Whatever `as_events` takes.
        tool: The tool's name.
        argument: The argument's key, or the path to it: ``("request", "messages", 0, "text")``.
        separator: What stands between the texts of two calls.

    Raises:
        TypeError: `source` is not an async iterable.
        InvalidEventError: An event has a delta's name, but not its data (when read).

    Example:
        >>> import asyncio
        >>> from sse_relay.dialects import ToolCallDelta
        >>> async def source():
        ...     yield ToolCallDelta('{"message": "Hel', id="call_1", name="send_message")
        ...     yield ToolCallDelta('lo"}')
        >>> async def main():
        ...     return [event.data async for event in tool_argument_text(source())]
        >>> asyncio.run(main())
        ['{"text":"Hel"}', '{"text":"lo"}']
    """
    require_source(source)
    return Stage(_texts(source, _Speech(ToolTexts(tool, argument), separator)), source)


async def _texts(source: AsyncIterable[object], speech: "_Speech") -> AsyncGenerator[ServerSentEvent, None]:
    error: Exception | None = None
    turn: _Turn | None = None
    try:
        try:
            async for item in source:
                # Nearly all of a stream: more of the text whose turn it is, which has no need to find its call.
                if (
                    turn is not None
                    and type(item) is ToolCallDelta
                    and item.index is turn.index
                    and item.choice == 0
                    and not item.id
                    and not item.name
                    and type(item.arguments) is str
                ):
                    text = turn.feed(item.arguments)
                    if not turn.arguments.ended:
                        if text:
                            yield event_of_text(text)
                        continue
                    events = speech.end_turn(turn, text)
                else:
                    events = speech.take(item)
                for event in events:
                    yield event
                turn = speech.turn
        except Exception as exc:  # noqa: BLE001 - it is raised after the text that waits
            error = exc
        for event in speech.rest():
            yield event
        if error is not None:
            raise error
    finally:
        await close(source)


class _Turn:
    """
    The call whose text is given out, right after a delta of it.

    Whatever names neither a call nor a tool, and has the index of that delta, goes on with the call.
    """

    __slots__ = ("arguments", "call", "feed", "index")

    def __init__(self, call: ToolCall, index: int | None, arguments: ArgumentText) -> None:
        self.call = call
        self.index = index
        self.arguments = arguments
        self.feed = arguments.feed


class _Speech:
    """
    Items in, events out; the text of each answer in turns.

    Attributes:
        turn: Of the first answer, if the last item was of a call whose turn it is, and nothing else is to be told.
    """

    __slots__ = ("_separator", "_status", "_texts", "_turns", "turn")

    def __init__(self, texts: ToolTexts, separator: str) -> None:
        self.turn: _Turn | None = None
        self._texts = texts
        self._separator = separator
        self._turns: dict[int, _Turns] = {}
        self._status: int | None = None  # of an item that nothing came of yet

    def take(self, item: object) -> list[ServerSentEvent]:
        self.turn = None
        if type(item) is ToolCallDelta and type(item.arguments) is str:
            said = self._texts.feed(item)
            if said is None:
                return self._noted([to_event(item)])
            events = self._noted(self._say(said))
            call = said.call
            if call.id is not None and call.choice == 0 and self._status is None and self._turns[0].is_of(call):
                self.turn = _Turn(call, item.index, self._texts.text)
            return events
        event = item if type(item) is ServerSentEvent else to_event(item)
        self._status = event.status or self._status
        delta = delta_of(event) if event.event in _OF_CALLS else None
        if isinstance(delta, ToolCallDelta) and (said := self._texts.feed(delta)) is not None:
            return self._noted(self._say(said))
        if isinstance(delta, Finish):
            waited = self._turns[delta.choice].release() if delta.choice in self._turns else []
        else:
            waited = self._release() if _is_terminal(event) else []
        return self._noted([*waited, event.replace(status=None) if waited else event])

    def end_turn(self, turn: _Turn, text: str) -> list[ServerSentEvent]:
        """Give out the last text of a call, and whatever waits for it."""
        self.turn = None
        return self._say(ToolText(turn.call, text, ended=True))

    def rest(self) -> list[ServerSentEvent]:
        events = self._noted(self._release())
        return events if self._status is None else [*events, ServerSentEvent(None, status=self._status)]

    def _say(self, said: ToolText) -> list[ServerSentEvent]:
        choice = said.call.choice
        if (turns := self._turns.get(choice)) is None:
            turns = self._turns[choice] = _Turns(choice, self._separator)
        return turns.say(said)

    def _release(self) -> list[ServerSentEvent]:
        return [event for turns in self._turns.values() for event in turns.release()]

    def _noted(self, events: list[ServerSentEvent]) -> list[ServerSentEvent]:
        if self._status is not None and events:
            events[0] = events[0].replace(status=self._status)
            self._status = None
        return events


class _Turns:
    """One call of an answer speaks at a time, the one whose text began first; the text of the others waits."""

    __slots__ = ("_calls", "_choice", "_separator", "_spoke")

    def __init__(self, choice: int, separator: str) -> None:
        self._choice = choice
        self._separator = separator
        self._calls: dict[int, _Call] = {}  # those that have begun, in order
        self._spoke: int | None = None

    def is_of(self, call: ToolCall) -> bool:
        """Tell whether it is a call's turn, which is not over yet."""
        return call.number == self._spoke and call.number in self._calls

    def say(self, said: ToolText) -> list[ServerSentEvent]:
        call, text, ended = said
        number = call.number
        if number not in self._calls:
            if not text:
                return []
            self._calls[number] = _Call()
        elif number == self._spoke and text and not ended:  # it is its turn still
            return [event_of_text(text, self._choice)]
        waiting = self._calls[number]
        if text:
            waiting.text.append(text)
        waiting.ended = ended
        return self._speak()

    def release(self) -> list[ServerSentEvent]:
        """Let out what waits: nobody need wait any longer."""
        for call in self._calls.values():
            call.ended = True
        return self._speak()

    def _speak(self) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        for number, call in list(self._calls.items()):
            if call.text:
                apart = "" if self._spoke in {None, number} else self._separator
                events.append(event_of_text(apart + "".join(call.text), self._choice))
                call.text.clear()
                self._spoke = number
            if not call.ended:
                break
            del self._calls[number]
        return events


@dataclass(slots=True)
class _Call:
    text: list[str] = field(default_factory=list[str])
    ended: bool = False


def _is_terminal(event: ServerSentEvent) -> bool:
    return event.outcome is not None or event.event == "end" or isinstance(event, TerminalPart)
