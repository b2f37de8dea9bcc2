"""What is to be said of a server, from what it tells of itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level", "Told", "judged"]

Level = Literal["ok", "info", "warning", "error"]

_OLDEST = (6, 2)
_NEARLY_FULL = 0.8
_CLOSE_ENOUGH = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing about a server.

    Attributes:
        level: ``ok``; ``info``: good to know; ``warning``: runs may be lost; ``error``: it does not work like this.
        subject: What it is about.
        found: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    level: Level
    subject: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """
    What a server tells of itself.

    Attributes:
        info: Its ``INFO``; empty: it may not be asked.
        config: The settings that were asked for; those that may not be asked are missing.
        refused: What it said to questions that may not be asked, by command.
        ahead: How many seconds its clock is ahead of ours; None: it did not say.
        cluster: Whether the client knows that it talks to a Cluster.
    """

    info: Mapping[str, str]
    config: Mapping[str, str]
    refused: Mapping[str, str]
    ahead: float | None
    cluster: bool = False


def judged(told: Told) -> Iterator[Finding]:
    """Judge what a server tells of itself, what matters most first."""
    for command, words in told.refused.items():
        yield _refused(command, words)
    if told.info:
        yield _version(told.info)
        if told.info.get("cluster_enabled") == "1" and not told.cluster:
            yield Finding(
                "error", "cluster", "the server is part of a Cluster, and the client knows one node only",
                "use a client of the Cluster: RedisCluster",
            )  # fmt: skip
        yield from _persistence(told)
        yield from _replicas(told)
        yield _eviction(told.info)
        yield _memory(told.info)
    yield from _clock(told.ahead)


def _refused(command: str, words: str) -> Finding:
    found = f"{command} may not be used: {words}"
    match command:
        case "EVAL":
            return Finding("error", "permissions", found, "allow EVAL: a server that was restarted knows no scripts")
        case _:
            return Finding("info", "permissions", found, f"allow {command} to see more here; nothing else needs it")


def _version(info: Mapping[str, str]) -> Finding:
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    major, minor, *_ = info["redis_version"].split(".")  # as Redis counts: a Valkey says which one it stands for
    if (int(major), int(minor)) < _OLDEST:
        return Finding("error", "version", f"{name} is too old", "use Redis 6.2 or later, or Valkey")
    return Finding("ok", "version", name)


def _persistence(told: Told) -> Iterator[Finding]:
    if told.info.get("aof_enabled") == "1":
        match told.config.get("appendfsync"):
            case "always":
                yield Finding("ok", "persistence", "AOF, always: what is acknowledged is on disk")
            case "everysec":
                yield Finding(
                    "ok", "persistence", "AOF, every second: what is acknowledged outlives the server's process; a "
                    "machine that goes down takes the last second or two with it",
                )  # fmt: skip
            case "no":
                yield Finding(
                    "warning", "persistence", "AOF, never synced: what is acknowledged outlives the server's process; "
                    "a machine that goes down takes with it what its system had not written, often half a minute",
                    "set appendfsync everysec",
                )  # fmt: skip
            case _:
                yield Finding("info", "persistence", "AOF; how often it is synced is not known", "see appendfsync")
    elif told.config.get("save"):
        yield Finding(
            "warning", "persistence", f"snapshots only (save {told.config['save']}): a restart takes all back to the "
            "last one, whatever was acknowledged since", "set appendonly yes",
        )  # fmt: skip
    else:
        found = "none: a restart forgets all runs" if "save" in told.config else "no AOF: a restart forgets runs"
        yield Finding("warning", "persistence", found, "set appendonly yes, unless runs may be forgotten")
    for field, what in (("aof_last_write_status", "AOF"), ("rdb_last_bgsave_status", "snapshot")):
        if told.info.get(field, "ok") != "ok":
            yield Finding("error", "persistence", f"the last {what} could not be written", "see the server's log, disk")


def _replicas(told: Told) -> Iterator[Finding]:
    if told.info.get("role") != "master":
        yield Finding("error", "replicas", "this is a replica, which takes no writes", "connect to the primary")
        return
    there, needed = int(told.info.get("connected_slaves", "0")), int(told.config.get("min-replicas-to-write", "0"))
    if needed > there:
        found = f"{there} of {needed} that min-replicas-to-write asks for: every write is refused"
        yield Finding("error", "replicas", found, "bring the replicas back, or ask for fewer")
    elif not there:
        yield Finding("info", "replicas", "none: what this server loses is lost", "fine if you can do without a run")
    elif not needed:
        yield Finding(
            "info", "replicas", f"{there}, which follow a moment later: a failover may lose the newest writes",
            "set min-replicas-to-write 1, so that a primary that is cut off stops taking writes",
        )  # fmt: skip
    else:
        yield Finding("ok", "replicas", f"{there}; at least {needed} for a write")


def _eviction(info: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding("ok", "eviction", "noeviction: no run is dropped to make room")
    reason = ", for every key of a run has a TTL" if policy.startswith("volatile-") else ""
    when = "when memory is full" if int(info.get("maxmemory", "0")) else "as soon as there is a maxmemory"
    return Finding(
        "warning", "eviction", f"{policy}: {when} runs may be dropped, live ones too{reason}",
        "set maxmemory-policy noeviction; give what may be evicted a server of its own",
    )  # fmt: skip


def _memory(info: Mapping[str, str]) -> Finding:
    used, most = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    if not most:
        found = f"{_mb(used)} used, and no maxmemory: the system ends the server when there is no more"
        return Finding("info", "memory", found, "set maxmemory below what the machine has")
    found = f"{_mb(used)} used of {_mb(most)}"
    if used >= most:
        return Finding("error", "memory", f"{found}: runs can end, and nothing else", "make room, or raise maxmemory")
    if used >= _NEARLY_FULL * most:
        return Finding("warning", "memory", found, "raise maxmemory, shorten the retention, or bound the logs")
    return Finding("ok", "memory", found)


def _clock(ahead: float | None) -> Iterator[Finding]:
    if ahead is None:
        return
    if abs(ahead) < _CLOSE_ENOUGH:
        yield Finding("ok", "clock", "as ours")
        return
    found = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    yield Finding("info", "clock", found, "leases go by the server's clock alone; only times of runs look odd")


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
