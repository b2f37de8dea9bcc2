"""Where something is asked for, and how."""

import re

__all__ = ["Route"]


class Route:
    """
    One path of an application.

    A key may have slashes, for servers decode the path; nothing else may.

    Args:
        path: The path, with the names of its parameters.
        methods: What it takes, beside OPTIONS.
    """

    def __init__(self, path: str, methods: tuple[str, ...] = ("GET", "HEAD")) -> None:
        self.path: str = path
        self.methods: tuple[str, ...] = methods
        pattern = re.sub(r"\{\w+\}", "([^/]*)", path.replace("{key}", "(.*)"))
        self.pattern: re.Pattern[str] = re.compile(pattern, re.DOTALL)
