"""What may be shown where."""

import pytest
from rich.text import Text

from sse_relay.commands.screen import Screen, printable


def test_control_characters_are_shown_and_not_sent() -> None:
    """What a stream says cannot steer a terminal, nor leave its line."""
    said = "a\x1b[2J\x9b1m\x00\r\n\tb\u202ec\u2028ü🙂"
    assert printable(said) == "a\\x1b[2J\\x9b1m\\x00\\r\\n\\tb\\u202ec\\u2028ü🙂"


def test_a_pipe_has_no_layout(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe nothing is coloured, cut off or padded, and markup is none."""
    screen = Screen()
    screen.show(Text("x" * 500, "red"), Text("[bold]y   "))
    screen.write("z\n")
    assert capsys.readouterr().out == f"{'x' * 500}\n[bold]y\nz\n"
    assert not screen.live
