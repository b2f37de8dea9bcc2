"""What is known of each run, and whether it all fits together: the judge of a soak."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sse_relay import Relay
from tests.processes.trail import Trail, WrongError

_ENDS = [
    ["completed", None],
    ["failed", "error"],
    ["timed_out", "timeout"],
    ["cancelled", "user"],
    ["cancelled", "replaced"],
    ["lost", "lease_expired"],
    ["failed", "store_unavailable"],
]


@dataclass
class Story:
    """
    One run.

    Attributes:
        acked: The last record that was acknowledged to its producer.
        yielded: How many events its source had, once it came to its end.
        ended: How it ended, as told by each process that ended it.
        trails: What each viewer has seen who came to the end.
        lines: What happened, for people.
    """

    acked: int = 0
    yielded: int | None = None
    ended: list[Sequence[str | None]] = field(default_factory=list)
    trails: dict[int, Trail] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def wrongs(self, log: Trail) -> list[str]:
        """Hold it against the log."""
        wrong = [
            f"viewer {viewer} saw {trail.seen} records, {trail.digest}, {trail.outcome}; the log has {log}"
            for viewer, trail in self.trails.items()
            if trail != log
        ]
        if self.acked > log.seen:
            wrong.append(f"record {self.acked} was acknowledged, and the log has {log}")
        if log.outcome not in _ENDS:
            wrong.append(f"nothing that happened ends a run like that: {log}")
        if log.outcome in _ENDS[:2] and log.seen != (self.yielded or 0) + 1:
            wrong.append(f"its source had {self.yielded} events, and the log has {log}")
        if len(self.ended) > 1 or any(ended != log.outcome for ended in self.ended):
            wrong.append(f"its end was told as {self.ended}, and the log has {log}")
        return wrong


async def judge(relay: Relay, stories: Mapping[str, Story]) -> tuple[list[str], Counter[str]]:
    """Replay every run, and tell what does not fit, and how the runs ended."""
    wrong, outcomes = list[str](), Counter[str]()
    unseen = set(stories)
    async for info in relay.runs():
        story = stories.get(info.id, Story())
        unseen.discard(info.id)
        try:
            log = await replayed(relay, info.id)
        except WrongError as error:
            found = [f"the log is wrong: {error}"]
        else:
            found = story.wrongs(log)
            outcomes[f"{(log.outcome or ['none'])[0]}"] += 1
        if found:
            wrong.append("\n    ".join([f"run {info.id}", *found, "what happened:", *story.lines]))
    if unseen:
        wrong.append(f"gone: {sorted(unseen)}")
    return wrong, outcomes


async def replayed(relay: Relay, run_id: str) -> Trail:
    """
    See a run from its beginning to its end.

    Raises:
        WrongError: Something is there that must not be.
    """
    trail = Trail(run_id)
    async with relay.subscribe(run_id) as events:
        async for event in events:
            trail.saw(event)
    info = await relay.info(run_id)
    told = None if info.outcome is None else [info.outcome.status, info.outcome.reason]
    if (trail.seen, trail.outcome) != (info.last_offset, told):
        raise WrongError(f"the log has {trail}, and its state is {info}")
    return trail
