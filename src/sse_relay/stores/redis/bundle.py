"""Calls of one script as one, where it answers for each of its keys: many silent runs are looked at in one call."""

from collections.abc import Sequence
from typing import cast

from sse_relay.stores.redis.call import Call
from sse_relay.stores.redis.keys import hash_slot
from sse_relay.stores.redis.scripts import Flavour

__all__ = ["Bundle", "bundled"]

_MOST_JOINED = 256  # calls, and
_MOST_ASKED = 4096  # records: a script that takes longer would hold up everybody else


class Bundle:
    """
    Several calls of one script as one.

    Args:
        calls: They ask the same script, each about keys of its own.
    """

    __slots__ = ("calls", "until")

    asking = False
    waits = None
    replies = 1

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls: Sequence[Call] = calls
        self.until: float = 0.0

    def packed(self, flavour: Flavour) -> bytes:
        """Write the command."""
        for call in self.calls:
            call.sending()
        keys = [key for call in self.calls for key in call.keys]
        args = [arg for call in self.calls for arg in call.args]
        first = self.calls[0]
        return first.script.command(flavour, keys, args, loads=first.loads)

    def answered(self, reply: object) -> bool:
        """Give everyone his part of the answer; tell whether all have to be asked again."""
        if isinstance(reply, list):
            parts = iter(cast("list[object]", reply))
            for call in self.calls:
                call.answered([next(parts) for _ in call.keys])
            return False
        again = [call.answered(reply) for call in self.calls]
        return any(again)


def bundled(calls: Sequence[Call], *, one_slot: bool) -> Sequence[Call | Bundle]:
    """
    Put calls together that may be one.

    Args:
        calls: What is to be sent.
        one_slot: All keys of one call have to be of one slot.
    """
    if not any(call.joins for call in calls):
        return calls
    groups: dict[object, list[list[Call]]] = {}
    for call in calls:
        kind: object = call
        if call.joins and not call.asking:
            kind = call.script.name, call.loads, hash_slot(call.keys[0]) if one_slot else 0
        parts = groups.setdefault(kind, [[]])
        if len(parts[-1]) >= _MOST_JOINED or sum(one.joins for one in parts[-1]) + call.joins > _MOST_ASKED:
            parts.append([])
        parts[-1].append(call)
    return [part[0] if len(part) == 1 else Bundle(part) for parts in groups.values() for part in parts if part]
