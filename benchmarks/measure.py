"""
Interleaved runs, medians and tables.

Rules of this file:

- The cases of one table take turns, round by round, in an order that rotates: what else the machine does hits them
  alike.
- A figure is the median of its rounds; a difference or a ratio is the median of those *within* each round.
- Costs are CPU time of this process where it only computes: time that others take from it does not count.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import process_time_ns

__all__ = ["TIMES", "Samples", "Table", "Verdict", "at_least", "at_most", "cpu_ns", "interleave", "rounded"]


TIMES = "\N{MULTIPLICATION SIGN}"


class Samples:
    """What each case cost in each round."""

    def __init__(self, cases: Sequence[str]) -> None:
        self.rounds: dict[str, list[float]] = {name: [] for name in cases}

    def median(self, case: str) -> float:
        """Return the cost of a case."""
        return median(self.rounds[case])

    def extra(self, case: str, base: str) -> float:
        """Return what a case costs more than another."""
        return median(mine - its for mine, its in zip(self.rounds[case], self.rounds[base], strict=True))

    def ratio(self, case: str, base: str) -> float:
        """Return how many times the cost of another a case costs."""
        return median(mine / its for mine, its in zip(self.rounds[case], self.rounds[base], strict=True))


def interleave(cases: Mapping[str, Callable[[], float]], rounds: int) -> Samples:
    """
    Run every case once a round, after one that does not count.

    Args:
        cases: By name: a function that runs once and returns its cost.
        rounds: How often.
    """
    names = list(cases)
    for name in names:
        cases[name]()
    samples = Samples(names)
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            gc.collect()
            samples.rounds[name].append(cases[name]())
    return samples


def cpu_ns(run: Callable[[], object]) -> int:
    """Return the CPU time of one call, in nanoseconds."""
    start = process_time_ns()
    run()
    return process_time_ns() - start


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, and whether a figure meets it."""

    target: str
    met: bool

    def __str__(self) -> str:
        return f"{self.target}: {'met' if self.met else '**missed**'}"


def at_most(limit: float, value: float, unit: str = "") -> Verdict:
    """Judge a figure that must not be larger."""
    return Verdict(f"≤ {limit:g}{unit}", value <= limit)


def at_least(limit: float, value: float, unit: str = "") -> Verdict:
    """Judge a figure that must not be smaller."""
    return Verdict(f"≥ {limit:g}{unit}", value >= limit)


def rounded(value: float, digits: int = 2) -> str:
    """Write a figure for people."""
    return f"{value:,.{digits}f}"


@dataclass(slots=True)
class Table:
    """
    One table of results.

    Attributes:
        title: What was measured.
        columns: The headings; the first column is the rows' names.
        rows: The cells, as text or a `Verdict`.
    """

    title: str
    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """Add a row; cells that are missing stay empty."""
        self.rows.append([*cells, *[""] * (len(self.columns) - len(cells))])

    def verdicts(self) -> list[tuple[str, Verdict]]:
        """Return the targets, each with the name of its row."""
        return [(str(row[0]), cell) for row in self.rows for cell in row if isinstance(cell, Verdict)]

    def __str__(self) -> str:
        rows = [[str(cell).replace("**", "") for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(self._aligned(row, widths)).rstrip() for row in rows]
        return "\n".join([self.title, "", lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def markdown(self) -> str:
        """Write the table for docs/benchmarks.md."""
        rules = ["---", *["---:"] * (len(self.columns) - 1)]
        rows = [[str(cell) for cell in row] for row in (self.columns, rules, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *[f"| {' | '.join(row)} |" for row in rows]])

    @staticmethod
    def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
        name, *cells = row
        return [name.ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]]
