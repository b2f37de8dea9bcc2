"""One SSE message."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sse_relay.exceptions import InvalidEventError
from sse_relay.wire.encoder import MAX_RETRY, encode, encode_json

if TYPE_CHECKING:
    from sse_relay.outcome import Outcome

__all__ = ["ServerSentEvent"]

_FIELDS = ("data", "event", "id", "retry", "comment", "outcome", "status")


class Fields:
    """
    The fields of an event, assignable: whoever fills them makes it a `ServerSentEvent`, which is frozen, at last.

    A frozen dataclass's own constructor costs four times as much. A class without slots of its own takes the place of
    this one most cheaply.

    Attributes:
        _head: All that its frame has in front of the data, if that is one line and there is nothing to refuse; None:
            whoever encodes the event looks at every field.
    """

    __slots__ = (*_FIELDS, "_head")

    _head: str | None


@dataclass(frozen=True, slots=True, init=False)
class ServerSentEvent(Fields):
    r"""
    One message of an event stream, as a sender means it and a reader gets it.

    Args:
        data: The payload; line breaks are kept as LF. None: no ``data:`` line, so that no reader dispatches it.
        event: The event's name; None: unnamed, which browsers dispatch as ``message``.
        id: What a browser sends back as ``Last-Event-ID``; None: the reader keeps the one it has.
        retry: How long a reader waits before it reconnects, in milliseconds.
        comment: Lines that readers skip; they keep idle connections open.
        outcome: How the stream ended, on its last event. A note for the edge: not on the wire, not compared.
        status: The HTTP status that the source asked for with this item. A note for the edge, too.

    Raises:
        InvalidEventError: A field is not text, or `retry` is out of range. What a name and an id must not contain is
            checked when they are encoded.

    Example:
        >>> ServerSentEvent("Hi", event="text").encode()
        b'event: text\ndata: Hi\n\n'
    """

    data: str | None
    event: str | None
    id: str | None
    retry: int | None
    comment: str | None
    outcome: "Outcome | None" = field(compare=False, repr=False)
    status: int | None = field(compare=False, repr=False)

    def __new__(  # noqa: D102 - the class docstring describes it
        cls,
        data: str | None = "",
        *,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name in the format
        retry: int | None = None,
        comment: str | None = None,
        outcome: "Outcome | None" = None,
        status: int | None = None,
    ) -> Self:
        if (
            (data is not None and type(data) is not str)
            or (event is not None and type(event) is not str)
            or (id is not None and type(id) is not str)
            or comment is not None
            or retry is not None
        ):
            _require_fields((data, event, id, comment), retry)
        return make_event(data, event, id, retry, comment, outcome, status, cls)  # type: ignore[return-value]

    @classmethod
    def json(cls, obj: object, *, event: str | None = None, id: str | None = None) -> Self:  # noqa: A002
        """
        Make an event whose data is `obj` as compact JSON.

        Args:
            obj: A dict, list, pydantic model, dataclass, or anything else that is JSON.
            event: The event's name.
            id: The event's id.

        Raises:
            InvalidEventError: `obj` is not JSON (NaN and infinities are not), or a field is not text.
        """
        return cls(encode_json(obj), event=event, id=id)

    encode = encode

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - any field's type
        """Copy the event with some fields changed."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return type(self)(**{**fields, **changes})


def _require_fields(texts: tuple[object, ...], retry: object) -> None:
    for name, value in zip(("data", "event", "id", "comment"), texts, strict=True):
        if value is not None and not isinstance(value, str):
            advice = "; use ServerSentEvent.json for an object" if name == "data" else ""
            raise InvalidEventError(name, value, f"must be str{advice}")
    if retry is not None and (type(retry) is not int or not 0 <= retry <= MAX_RETRY):
        raise InvalidEventError("retry", retry, f"must be whole milliseconds, from 0 to {MAX_RETRY}")


def make_event(  # noqa: PLR0917 - positional, because it is called once an event
    data: str | None,
    event: str | None = None,
    id: str | None = None,  # noqa: A002
    retry: int | None = None,
    comment: str | None = None,
    outcome: "Outcome | None" = None,
    status: int | None = None,
    cls: type[ServerSentEvent] = ServerSentEvent,
) -> ServerSentEvent:
    """Make an event of values whose types are known already."""
    self: Any = Fields()
    self.data = data
    self.event = event
    self.id = id
    self.retry = retry
    self.comment = comment
    self.outcome = outcome
    self.status = status
    self._head = None
    self.__class__ = cls
    made: ServerSentEvent = self
    return made


def make_data(data: str, event: str | None = None, head: str = "data: ") -> ServerSentEvent:
    """
    Make an event that is nothing but one line of data, as nearly all of a long stream are.

    Args:
        data: The line.
        event: A name without control characters.
        head: What its frame has in front of the data: the line with the name, too.
    """
    self: Any = Fields()
    self.data = data
    self.event = event
    self._head = head
    self.id = self.retry = self.comment = self.outcome = self.status = None
    self.__class__ = ServerSentEvent
    made: ServerSentEvent = self
    return made
