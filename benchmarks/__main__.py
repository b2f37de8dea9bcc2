"""``python -m benchmarks [combinators|dialects|redis …]``: measure, print tables, write them to the docs."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import (
    combinators,
    crowd,
    dialects,
    observing,
    over_http,
    reading,
    redis_relay,
    relay,
    tool_arguments,
    wire,
)
from benchmarks.measure import Table
from benchmarks.report import check, machine, write

TABLES: dict[str, Callable[..., list[Table]]] = {
    "combinators": combinators.tables,
    "wire": wire.tables,
    "client": reading.tables,
    "dialects": dialects.tables,
    "http": over_http.tables,
    "crowd": crowd.tables,
    "relay": relay.tables,
    "observability": observing.tables,
    "arguments": tool_arguments.tables,
    "redis": redis_relay.tables,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 whatever the figures are, for they depend on the machine."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What the library costs, beside its peers."
    )
    parser.add_argument("tables", nargs="*", metavar="table", help=f"{', '.join(TABLES)}; without one: all")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, to see that it runs; the figures mean nothing"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into FILE, between its marks")
    options = parser.parse_args(arguments)
    names: list[str] = options.tables or list(TABLES)
    if unknown := [name for name in names if name not in TABLES]:
        parser.error(f"there is no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    if options.quick and options.markdown is not None:
        parser.error("the figures of a quick run are not for the docs")
    if options.markdown is not None:
        check(options.markdown, names)
    gc.collect()
    gc.freeze()  # what was imported is not looked at again while we measure
    print(machine(), end="\n\n")
    results: dict[str, list[Table]] = {}
    for name in names:
        results[name] = TABLES[name](quick=options.quick)
        print(*results[name], sep="\n\n", end="\n\n", flush=True)
    if options.quick:
        print("This was a quick run: the figures, and what they say of the targets, mean nothing.")
        return 0
    for table in (table for tables in results.values() for table in tables):
        for row, verdict in table.verdicts():
            print(f"{verdict}: {table.title}: {row}".replace("**", ""))
    if options.markdown is not None:
        write(options.markdown, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
