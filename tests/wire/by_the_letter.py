"""The event stream format as its specification words it, line by line, with no thought of speed: what to compare to."""

import re
from typing import NamedTuple

from sse_relay import ServerSentEvent


class Parsed(NamedTuple):
    """What a reader has after a whole stream."""

    events: list[ServerSentEvent]
    last_event_id: str
    retry: int | None


def parse(stream: bytes) -> Parsed:
    """Interpret a whole stream: decode it, take it apart into lines, process each."""
    *lines, _ = re.split("\r\n|\n|\r", stream.decode("utf-8", "replace").removeprefix("\ufeff"))
    events: list[ServerSentEvent] = []
    last_event_id = ""
    retry: int | None = None
    block: dict[str, str] = {}
    for line in lines:
        if line:
            _process(line, block)
            continue
        last_event_id = block.get("id", last_event_id)
        said = int(block["retry"]) if "retry" in block else None
        retry = retry if said is None else said
        if "data" in block:
            data = block["data"].removesuffix("\n")
            events.append(ServerSentEvent(data, event=block.get("event"), id=block.get("id"), retry=said))
        block = {}
    return Parsed(events, last_event_id, retry)


def _process(line: str, block: dict[str, str]) -> None:
    if line.startswith(":"):
        return
    field, value = line.split(":", 1) if ":" in line else (line, "")
    value = value.removeprefix(" ")
    if field == "data":
        block["data"] = f"{block.get('data', '')}{value}\n"
    elif field == "event" or (field == "id" and "\0" not in value) or (field == "retry" and _is_number(value)):
        block[field] = value


def _is_number(value: str) -> bool:
    return re.fullmatch("[0-9]{1,12}", value) is not None


def parse_bounded(stream: bytes, limit: int) -> tuple[list[ServerSentEvent], bool]:
    """Interpret a stream up to its first event that is too large; the bound counts bytes with LF line breaks."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    *whole, last = re.split(b"\r\n|\n|\r", stream)
    ended: list[bytes] = []
    block: list[bytes] = []
    for line in [*whole, last]:
        if block or not line.startswith(b":"):
            block += [line] if line else []
        if len(b"\n".join(block)) > limit:
            return parse(b"\n".join([*ended, b""])).events, True
        ended.append(line)
        if not line:
            block = []
    return parse(stream).events, False
