"""`geounet doctor`: what this machine has for geounet, and what to expect of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from geounet.cli.parameters import files, outputs
from geounet.cli.summary import print_json, size_text
from geounet.errors import ResourceError


def doctor(
    no_speed: files.NoSpeed = False,
    json: outputs.Json = False,
) -> None:
    """Say what this machine has for geounet: versions, devices, engines, formats, speed.

    Exits with 5 if geounet could not predict here.
    """
    from geounet.cli.checkup import examine

    facts = examine(is_timed=not no_speed)
    if json:
        print_json(facts)
    else:
        for line in describe(facts):
            typer.echo(line)
    if not facts["can_predict"]:
        raise ResourceError(
            f"geounet cannot predict here; {facts['reason']}; mend it, or install geounet anew"
        )


def describe(facts: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    yield f"geounet {facts['geounet']}"
    yield from (f"  {name}: {version}" for name, version in facts["libraries"].items())
    yield from _describe_packages(facts["packages"])
    yield from _describe_machine(facts["machine"])
    yield from _describe_devices(facts["devices"])
    yield from _describe_engines(facts["engines"], facts["engine_reason"])
    missing = [name for name, is_there in facts["formats"].items() if not is_there]
    there = [name for name, is_there in facts["formats"].items() if is_there]
    yield f"formats: {', '.join(there) or 'none'}"
    if missing:
        yield f"  missing: {', '.join(missing)}"
    if facts["disk"] is not None:
        write, read = facts["disk"]["write_mb_per_s"], facts["disk"]["read_mb_per_s"]
        yield f"GeoTIFF, deflate, one thread: write {write:.0f} MB/s, read {read:.0f} MB/s"
    if facts["scene_s"] is not None:
        expected = _duration(facts["scene_s"])
        yield f"a scene of 10,000 x 10,000 pixels: about {expected} with the default network"


def _describe_packages(packages: list[dict[str, Any]]) -> Iterator[str]:
    usable = [f"{x['name']} {x['version']}" for x in packages if x["problem"] is None]
    yield f"packages: {', '.join(usable) or 'none'}"
    for package in packages:
        if package["problem"] is not None:
            wanted = f" (extra {package['extra']})" if package["extra"] else ""
            yield f"  {package['name']}{wanted}: {package['problem']}"


def _describe_machine(machine: dict[str, Any]) -> Iterator[str]:
    yield f"machine: {machine['system']}"
    yield f"  processor: {machine['processor']}; {' '.join(machine['abilities']) or '-'}"
    yield f"  cores: {machine['usable_cores']:g} usable of {machine['cores']}"
    for key, word in (("free_memory_bytes", "memory"), ("free_disk_bytes", "disk, this folder")):
        size = machine[key]
        yield f"  {word}: {'not known' if size is None else f'{size_text(size)} free'}"


def _describe_devices(devices: list[dict[str, Any]]) -> Iterator[str]:
    yield "devices:"
    for device in devices:
        memory = device["memory_bytes"]
        size = "" if memory is None else f", {size_text(memory)}"
        state = device["problem"] or f"{device['precision']} by default"
        yield f"  {device['name']}: {device['model']}{size}; {state}"


def _describe_engines(engines: list[dict[str, Any]], reason: str) -> Iterator[str]:
    yield "engines:"
    for engine in engines:
        rate = engine["mpx_per_s"]
        speed = "" if rate is None else f"; {rate:.2f} Mpx/s with the default network"
        state = engine["problem"] or f"{engine['precision']} on {engine['device']}{speed}"
        yield f"  {engine['name']}: {state}"
    yield f"  auto takes {_name_chosen(engines)}: {reason}"


def _name_chosen(engines: list[dict[str, Any]]) -> str:
    return next((str(engine["name"]) for engine in engines if engine["is_chosen"]), "none")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
