"""`python -m sse_relay`: the command line."""

import sys

from sse_relay.cli import main

if __name__ == "__main__":
    sys.exit(main())
