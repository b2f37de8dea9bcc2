"""Names of tests: every process has to call one by the same."""

import re


def named(value: object) -> str:
    """Show a value, but not where it lies in memory."""
    return re.sub(" at 0x[0-9a-f]+", "", str(value))
