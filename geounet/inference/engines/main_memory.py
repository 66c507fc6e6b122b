"""Main memory that is free, within what a container or a batch system leaves to its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")

GROUP_FILES = (
    ("memory.max", "memory.current"),  # cgroup 2
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Where a group of processes has its limit, and what it uses of it: its cache of files too."""

CACHE = ("inactive_file", "active_file")

UNKNOWN_BYTES = 4 * 2**30
"""Taken for free where the system does not say."""


def find_available(root: Path = ROOT) -> int:
    """Bytes that are free, or that the cache of files would give back.

    The limits are those of the process's cgroup and of all groups that it is in (cgroups(7)).
    """
    free = _read_free(root)
    return max(0, min([free, *_list_group_room(root)]))


def _read_free(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        table = dict(line.split(":", 1) for line in lines)
        return int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN_BYTES


def _list_group_room(root: Path) -> Iterator[int]:
    """What is left in each group that the process is in, as far as it has a limit."""
    for folder in _list_groups(root):
        for limit, used in GROUP_FILES:
            try:
                left = int((folder / limit).read_text()) - int((folder / used).read_text())
                yield left + _read_cache(folder)
            except (OSError, ValueError):  # not of this version, or "max"
                continue


def _list_groups(root: Path) -> Iterator[Path]:
    """Folders of the process's groups; in a container its own stands where the root would."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if not kinds or "memory" in kinds.split(","):
            base = root / "sys/fs/cgroup" / ("memory" if kinds else "")
            group = Path(name.strip("/"))
            yield from (base / folder for folder in (group, *group.parents))


def _read_cache(folder: Path) -> int:
    """Bytes of files that a group and those in it have in memory."""
    lines = (folder / "memory.stat").read_text().splitlines()
    table = {name: int(value) for name, value in (line.split() for line in lines)}
    # in cgroup 1 the plain ones are of the group alone
    return sum(table.get(f"total_{name}", table.get(name, 0)) for name in CACHE)
