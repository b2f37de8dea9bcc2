"""The text of one argument is what a whole parse says it is, at every moment and whatever the fragments."""

import tracemalloc
from collections.abc import Iterable
from random import Random
from time import process_time
from typing import Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_relay.dialects.tool_arguments import ArgumentText
from tests.dialects.json_texts import Pairs, Path, any_fragments, first_text, in_every_way, paths, read, values, write
from tests.properties import examples, hostile_text, received


def fed(fragments: Iterable[str], argument: str | Path = "message") -> tuple[str, ArgumentText]:
    """Feed fragments; return the text that came, and what it came of."""
    arguments = ArgumentText(argument)
    return "".join([arguments.feed(fragment) for fragment in fragments]), arguments


def text_of(text: str, argument: str | Path = "message") -> str:
    """Return what comes of a text in one fragment and in single characters, which is the same."""
    whole, _ = fed([text], argument)
    assert fed(text, argument)[0] == whole
    return whole


def somewhere(data: st.DataObject, value: Any) -> Path:
    """Draw a place in a value, most often that of a string, or a place that is not there."""
    places = list(paths(value))
    texts = [path for path in places if first_text(value, path) is not None]
    nowhere: list[Path] = [("nowhere",), (0, "a"), ("a", 0), (7,)]
    return data.draw(st.sampled_from(texts or nowhere) | st.sampled_from(places + nowhere), label="path")


# ── Against two oracles ──────────────────────────────────────────────────────────────────────────────────────────────


@examples(120)
@given(st.data(), values(), st.randoms(use_true_random=False))
def test_text_is_what_a_parse_of_the_whole_says(data: st.DataObject, value: Any, how: Random) -> None:
    """H6: for any JSON, place and fragments the text is what `json.loads` finds there first, and the JSON is whole."""
    text = write(value, how)
    parsed = read(text)
    path = somewhere(data, parsed)
    said, arguments = fed(data.draw(any_fragments(text), label="fragments"), path)
    assert said == (first_text(parsed, path) or "")
    assert (arguments.complete, arguments.ended, arguments.broken) == (True, True, False)


@examples(60)
@given(st.data(), values(hostile_text(6).map(received), unique=True), st.randoms(use_true_random=False))
def test_text_is_what_a_parse_of_each_prefix_says(data: st.DataObject, value: Any, how: Random) -> None:
    """H6: at every character the text so far is what a partial parse of all so far says, no more and no less."""
    text = write(value, how, strict=True)
    path = somewhere(data, read(text))
    arguments = ArgumentText(path)
    said = ""
    for end, char in enumerate(text, 1):
        said += arguments.feed(char)
        found = jiter.from_json(text[:end].encode(), partial_mode="trailing-strings")
        assert said == (at(found, path) or "")
        assert not arguments.broken
        assert arguments.complete == (end == len(text))


def at(value: Any, path: Path) -> str | None:
    """Return the string at a path of a value of plain dicts and lists."""
    for step in path:
        children: dict[Any, Any] = value if isinstance(value, dict) else {}
        if isinstance(value, list):
            children = dict(enumerate(value))
        value = children.get(step)
    return value if isinstance(value, str) else None


@examples(150)
@given(st.data(), values(hostile_text(4)), st.randoms(use_true_random=False))
def test_what_is_no_json_is_seen_and_keeps_its_text(data: st.DataObject, value: Any, how: Random) -> None:
    """H6: a text with a flaw is whole exactly if `json.loads` takes it; what was given ahead of the flaw stays."""
    text = write(value, how)
    path = somewhere(data, read(text))
    place = data.draw(st.integers(0, len(text)), label="place")
    flaw = data.draw(st.sampled_from([*'{}[]:,"\\ \n0-+.eEtnu', "", '""', "\\u12", "NaN", "\ud83d", "'", "\xa0", "x"]))
    flawed = text[:place] + flaw + text[place + data.draw(st.integers(0, 2), label="removed") :] + "\n"
    said, arguments = fed(data.draw(any_fragments(flawed), label="fragments"), path)
    try:
        parsed = read(flawed)
    except ValueError:
        assert not arguments.complete
        assert said.startswith(fed([text[:place]], path)[0])
        assert said == fed(flawed, path)[0]
    else:
        assert (arguments.complete, arguments.broken) == (True, False)
        assert said == (first_text(parsed, path) or "")


@pytest.mark.parametrize(
    "text",
    [
        '["\\ud83d\\ude00"]',
        '["\\ud83d\\u0041"]',
        '[1,"a\\n\\\\\\""]',
        '["\\ud83d\ude00"] ',
        '[-1.5e+3,"x"]',
        '["a\\x"]',
    ],
    ids=["pair", "half", "escapes", "mixed pair", "number", "flaw"],
)
def test_every_way_to_cut_gives_the_same(text: str) -> None:
    """H6: each of the 2ⁿ⁻¹ ways to cut a text gives the same text in the end."""
    path = (1,) if "," in text else (0,)
    whole, arguments = fed([text], path)
    ends = {(said, cut.complete, cut.broken) for said, cut in (fed(cut, path) for cut in in_every_way(text))}
    assert ends == {(whole, arguments.complete, arguments.broken)}
    assert whole


# ── Which string it is ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "argument", "said"),
    [
        ('{"message":"yes"}', "message", "yes"),
        ('{"a":{"message":"no"},"message":"yes"}', "message", "yes"),
        ('{"a":"\\"message\\":\\"no\\"","message":"yes"}', "message", "yes"),
        ('[{"message":"no"}]', "message", ""),
        ('{"messages":"no","mess":"no","":"no","message ":"no"}', "message", ""),
        ('{"m\\u0065ss\\u0061ge":"yes"}', "message", "yes"),
        ('{"a.b":"yes","a":{"b":"no"}}', "a.b", "yes"),
        ('{"a.b":"no","a":{"b":"yes"}}', ("a", "b"), "yes"),
        ('{"0":"yes"}', "0", "yes"),
        ('["yes"]', "0", ""),
        ('{"0":"no"}', (0,), ""),
        ('["no","yes","no"]', (1,), "yes"),
        ('[["no","no"],["no","yes"],["no","no"]]', (1, 1), "yes"),
        ('{"a":[{"b":"no"},5,{"c":[],"b":"yes"},{"b":"no"}]}', ("a", 2, "b"), "yes"),
        ('[[[],"no"],"yes",["no"]]', (1,), "yes"),
        ('["no"]', (-1,), ""),
        ('"yes"', (), "yes"),
        ('["no"]', (), ""),
        ('{"":{"":"yes"}}', ("", ""), "yes"),
        ('{"a":"no","b":{"a":{"b":"no"}}}', ("a", "b"), ""),
    ],
)
def test_only_the_string_at_the_place_counts(text: str, argument: str | Path, said: str) -> None:
    """H6: a key of that name further in, in a string or in another container is not the argument."""
    assert text_of(text, argument) == said


@pytest.mark.parametrize("other", ["5", "null", "true", "-1.5e3", "[]", "{}", '["no"]', '{"message":"no"}', "NaN"])
def test_what_is_no_string_gives_nothing(other: str) -> None:
    """H6: of a value at the place that is no string nothing comes, and the JSON is read on."""
    said, arguments = fed(f'{{"message":{other}}}')
    assert not said
    assert arguments.complete
    assert text_of(f'{{"message":{other},"message":"yes"}}') == "yes"


def test_first_of_two_strings_is_given() -> None:
    """H6: what was given out cannot be taken back, so that of a key that comes twice the first string counts."""
    assert text_of('{"message":"first","message":"second"}') == "first"
    assert text_of('{"message":"","message":"second"}') == ""
    assert text_of('{"a":{"b":1},"a":{"b":"first"},"a":{"b":"second"}}', ("a", "b")) == "first"
    assert text_of('{"message":"first","a":"x","message":"second"}') == "first"
    assert text_of('{"a":["first"],"a":["second"]}', ("a", 0)) == "first"
    assert text_of('{"a":[5,5],"a":["first"]}', ("a", 0)) == "first"


# ── When it is given ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_text_comes_at_once_and_whole() -> None:
    """H6: each fragment gives what it adds at once; half an escape and half a character wait for the rest."""
    arguments = ArgumentText("message")
    steps = [
        ('{"message":"', ""), ("Hi", "Hi"), (" \\", " "), ("n", "\n"), ("\\u", ""), ("00e", ""), ("9!", "é!"),
        ("a\\ud83d", "a"), ("\\ude0", ""), ("0b", "😀b"), ("\\ud83d", ""), ("x", "\ufffdx"), ("\ud83d", ""),
        ("\ude00", "😀"), ("\ud83d", ""), ("", ""), ("\\ude00", "😀"), ("\\ude00", "\ufffd"), ("é", "é"),
        ("\0\n", "\0\n"), ("\\ud83d", ""), ('"', "\ufffd"), (" ", ""), ("}", ""),
    ]  # fmt: skip
    for fragment, said in steps:
        assert not arguments.complete
        assert arguments.feed(fragment) == said
        assert arguments.ended == (fragment in {'"', " ", "}"})
    assert arguments.complete


def test_nothing_comes_after_the_end() -> None:
    """H6: space may follow the JSON; anything else breaks it, takes nothing back and gives nothing more."""
    said, arguments = fed(['{"message":"a"}', " \n", "\t"])
    assert (said, arguments.complete, arguments.broken) == ("a", True, False)
    for more in ("x", "{", '{"message":"b"}', '"', ","):
        said, arguments = fed(['{"message":"a"}', "\n", more, more])
        assert (said, arguments.complete, arguments.broken, arguments.ended) == ("a", False, True, True)


@pytest.mark.parametrize("text", ["", "  ", "{", '{"mess', '{"message"', '{"message":', '{"message":"', '{"a":tr', "["])
def test_unfinished_is_neither_whole_nor_broken(text: str) -> None:
    """H6: JSON that may still go on is open."""
    _, arguments = fed(text)
    assert (arguments.complete, arguments.broken, arguments.ended) == (False, False, False)


@pytest.mark.parametrize(
    "text",
    [
        "x ",
        "}",
        "[}",
        '{"a"}',
        '{"a":1,}',
        "[1,]",
        "[,1]",
        '{,"a":1}',
        "{1:2}",
        "[01]",
        "[1.]",
        "[tru]",
        "[--1]",
        "[1 2]",
    ],
)
def test_broken_json_gives_nothing_more(text: str) -> None:
    """H6: no exception; nothing comes of what follows the flaw."""
    assert fed(text)[1].broken
    said, arguments = fed([*text, ',"message":"no"}', '{"message":"no"}'])
    assert (said, arguments.complete, arguments.broken, arguments.ended) == ("", False, True, True)


@pytest.mark.parametrize("flaw", ["\\x", "\\u12g", "\\'", "\\\n", "\\ud83d\\ux"])
def test_text_ahead_of_a_bad_escape_stays(flaw: str) -> None:
    """H6: what comes ahead of an escape that is none is given, what comes after it is not."""
    said, arguments = fed(f'{{"message":"a\\nb{flaw}c')
    assert (said, arguments.broken) == ("a\nb", True)
    assert text_of(f'{{"message":"a\\nb{flaw}c","message":"no"}}') == "a\nb"


# ── Hostile input ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [9, 1 << 20])
def test_deep_nesting_is_no_recursion(size: int) -> None:
    """H6: a hundred thousand levels ahead of the argument are read over; too many break the JSON, within bounds."""
    for opening, closing in (("[", "]"), ('{"message":', "}")):
        deep = '{"a":' + opening * 100_000 + '"no"' + closing * 100_000 + ',"message":"yes"}'
        said, arguments = fed(deep[at : at + size] for at in range(0, len(deep), size))
        assert (said, arguments.complete) == ("yes", True)
    said, arguments = fed(["[" * 1000] * 200)
    assert arguments.broken


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_long_numbers_are_read_over(size: int) -> None:
    """H6: numbers of five thousand digits, NaN and infinities do not hold up what follows them."""
    for number in (
        "1" * 5000,
        "-0." + "3" * 5000,
        "1e" + "9" * 5000,
        "1.5E-" + "0" * 5000,
        "NaN",
        "-Infinity",
        "Infinity",
    ):
        text = f'{{"a":{number},"message":"yes"}}'
        said, arguments = fed(text[at : at + size] for at in range(0, len(text), size))
        assert (said, arguments.complete) == ("yes", True)
    for none in (
        "0" + "1" * 5000,
        "1" * 5000 + ".",
        "1e" + "9" * 5000 + "e",
        "-",
        "NaNNaN",
        "x" * 5000,
        "-NaN",
        "1_0",
        "\u0661",
    ):
        said, arguments = fed(f'{{"a":{none},"message":"no"}}')
        assert (said, arguments.broken) == ("", True)
    _, arguments = fed("[" + "x" * 20)
    assert arguments.broken


@pytest.mark.parametrize(
    "pieces",
    [
        ['{"message":"', *["text"] * 40_000],
        ['{"message":"', *["\\n\\u00e9é"] * 20_000],
        ['{"a":"', *["text"] * 40_000],
        ['{"', *["text"] * 40_000],
        ['{"a":', *["1111"] * 40_000],
        ["[", *["[1],"] * 40_000],
        [*["    "] * 40_000],
    ],
    ids=["text", "escapes", "other text", "key", "number", "items", "space"],
)
def test_memory_is_bounded(pieces: list[str]) -> None:
    """L6: many characters leave no more behind than a few."""
    arguments = ArgumentText("message")
    tracemalloc.start()
    try:
        for piece in pieces:
            arguments.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000
    assert not arguments.broken


def cpu(text: str, size: int) -> float:
    """Return the CPU time that a text takes in fragments of a size: the best of a few."""
    fragments = [text[at : at + size] for at in range(0, len(text), size)]
    times: list[float] = []
    for _ in range(5):
        start = process_time()
        fed(fragments)
        times.append(process_time() - start)
    return min(times)


@pytest.mark.parametrize("size", [1, 4, 1 << 30])
@pytest.mark.parametrize("unit", ['"k":"v",', '"message":[1,{}],', '"\\n\\ud83d\\ude00":"\\"",', '"n":1111111111,'])
def test_time_is_linear(unit: str, size: int) -> None:
    """H6, defect 14: sixteen times the text takes less than forty times as long, in small fragments or in one."""
    short, long = (f'{{{unit * count}"message":"x"}}' for count in (250, 4000))
    assert cpu(long, size) < 40 * cpu(short, size)


@examples(150)
@given(st.text(), st.lists(st.sampled_from([*'{}[]:,"\\ \n0-.etrun', "message", '{"message":"']), max_size=20))
def test_no_text_raises(junk: str, pieces: list[str]) -> None:
    """H6: whatever a model writes, feeding it raises nothing."""
    said, arguments = fed([*pieces, junk])
    assert isinstance(said, str)
    assert not (arguments.complete and arguments.broken)


def test_pairs_are_written_as_they_are_read() -> None:
    """The oracle keeps each key: `read` undoes `write`."""
    value = Pairs([("a", ["x", Pairs(), [], None, True, 1.5]), ("a", "\n")])
    assert read(write(value, Random(1))) == value
