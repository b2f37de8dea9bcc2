"""What encoding and decoding cost an event, and that long events cost linear time."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import repeat
from typing import Any

from benchmarks.decoders import OURS, Decode, installed
from benchmarks.fixtures import LINES, LONG, SHAPES, TEXT, chunks, long_line, many_lines
from benchmarks.measure import TIMES, Table, Verdict, at_least, at_most, cpu_ns, interleave, rounded
from sse_relay import ServerSentEvent

__all__ = ["tables"]

FIELDS: dict[str, dict[str, Any]] = {
    "data": {},
    "event, data": {"event": "text"},
    "id, event, data": {"id": "k3Jx9-Qa:1700", "event": "text"},
}
TARGETS = {"openai": 5.0, "httpx-sse": 2.0}


def tables(*, quick: bool) -> list[Table]:
    """Measure."""
    if quick:
        return [_encode(500, 2), _decode(100, 2), _linear(1, LONG // 10, LINES // 10)]
    return [_encode(10_000, 21), _decode(2500, 21), _linear(11, LONG, LINES)]


def _encode(count: int, rounds: int) -> Table:
    classes: dict[str, Any] = {OURS: ServerSentEvent}
    with suppress(ImportError):
        classes["sse-starlette"] = import_module("sse_starlette").ServerSentEvent
    cases: dict[str, Callable[[], float]] = {}
    for name, cls in classes.items():
        for shape, fields in FIELDS.items():
            cases[f"{name} encode {shape}"] = _encoding(cls(TEXT, **fields).encode, count)
            cases[f"{name} both {shape}"] = _encoding(_constructing(cls, fields), count)
    samples = interleave(cases, rounds)
    table = Table("Encode: ns an event", ("", *classes, *[TIMES] * (len(classes) - 1), "target"))
    for kind, label in (("encode", ""), ("both", ", constructed too")):
        for shape in FIELDS:
            ours, *theirs = (f"{name} {kind} {shape}" for name in classes)
            cells: list[object] = [rounded(samples.median(case), 0) for case in (ours, *theirs)]
            cells += [rounded(samples.ratio(case, ours), 1) for case in theirs]
            verdict = at_most(250, samples.median(ours), " ns") if kind == "encode" else ""
            table.add(shape + label, *cells, verdict)
    return table


def _constructing(cls: Any, fields: dict[str, Any]) -> Callable[[], object]:  # noqa: ANN401 - a class of ours or a peer's
    return lambda: cls(TEXT, **fields).encode()


def _encoding(encode: Callable[[], object], count: int) -> Callable[[], float]:
    def run() -> None:
        for _ in repeat(None, count):
            encode()

    return lambda: cpu_ns(run) / count


def _decode(count: int, rounds: int) -> Table:
    decoders = installed()
    peers = [name for name in decoders if name != OURS]
    table = Table(
        "Decode 180-byte events in chunks of 4 KiB",
        ("", f"{OURS}, ns an event", *[f"{TIMES} {name}" for name in peers], "target"),
    )
    for shape in SHAPES:
        stream = shape.stream(count)
        samples = interleave({name: _decoding(decode, stream, count) for name, decode in decoders.items()}, rounds)
        ratios = {name: samples.ratio(name, OURS) for name in peers}
        table.add(
            shape.name,
            rounded(samples.median(OURS), 0),
            *[rounded(ratio, 1) for ratio in ratios.values()],
            _judge(ratios),
        )
    return table


def _judge(ratios: dict[str, float]) -> Verdict | str:
    judged = [at_least(least, ratios[name], f"{TIMES} {name}") for name, least in TARGETS.items() if name in ratios]
    return (
        Verdict(", ".join(verdict.target for verdict in judged), all(verdict.met for verdict in judged))
        if judged
        else ""
    )


def _decoding(decode: Decode, stream: Sequence[bytes], count: int) -> Callable[[], float]:
    return lambda: cpu_ns(lambda: deque(decode(stream), 0)) / count


def _linear(rounds: int, length: int, lines: int) -> Table:
    decoders = installed()
    table = Table(
        f"Decode one long event: ms, and ({TIMES}) how many times as much for one twice as long",
        ("", *decoders, "target"),
    )
    for label, make, size in (
        (f"one line of {length:,} bytes", long_line, length),
        (f"{lines:,} lines", many_lines, lines),
    ):
        cases: dict[str, Callable[[], float]] = {}
        for factor in (1, 2):
            stream = chunks(make(size * factor))
            cases |= {f"{name} {factor}": _decoding(decode, stream, 1) for name, decode in decoders.items()}
        samples = interleave(cases, rounds)
        growth = {name: samples.ratio(f"{name} 2", f"{name} 1") for name in decoders}
        cells = [f"{samples.median(f'{name} 1') / 1e6:.1f} ({growth[name]:.1f}{TIMES})" for name in decoders]
        table.add(label, *cells, at_most(2.5, growth[OURS], TIMES))
    return table
