"""Plans, masks and their verification as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from geounet.cli.summary import share, size_text
from geounet.wording import counted

if TYPE_CHECKING:
    from geounet.inference import Outlook, PredictSummary, Verification


def list_outlook(outlook: Outlook) -> Iterator[tuple[str, str]]:
    """What a person wants to know of a run, by name."""
    height, width = outlook.tile_shape
    known, expected = outlook.pixel_size_m, outlook.expected_s
    yield "output", f"{outlook.width} x {outlook.height} px"
    yield "pixel size", "not known" if known is None else f"{known:.4g} m"
    yield "tiles", f"{outlook.tiles_missing} to compute of {outlook.tiles}, {width} x {height} px"
    yield "tiling", f"{outlook.tiling}; context of {outlook.margin} px; batches of {outlook.batch}"
    kept = f"{outlook.parts_kept} kept from an earlier run"
    yield (
        "parts",
        f"{outlook.parts} of {counted(min(outlook.part_rows, outlook.height), 'row')}, {kept}",
    )
    yield "network", f"{outlook.engine}, {outlook.precision}, on {outlook.device}"
    yield "memory", f"about {size_text(outlook.memory_bytes)}"
    sizes = (f"{kind} {size_text(size)}" for kind, size in outlook.output_bytes.items())
    yield "disk", f"{', '.join(sizes)} before compression"
    yield "time", "-" if expected is None else f"about {expected:.3g} s"
    for note in outlook.notes:
        yield "note", note


def describe(summary: PredictSummary) -> str:
    """The final line: what was made, how fast, and what took the time."""
    pixels = summary.height * summary.width
    if summary.was_done:
        polygons = f"; polygons: {summary.polygons}" if summary.polygons else ""
        return f"{summary.output}: an earlier run has done it; nothing was to be computed{polygons}"
    speed = f"{pixels / summary.elapsed_s / 1e6:.2f} Mpx/s"
    if summary.parts_resumed:
        speed = f"with {counted(summary.parts_resumed, 'part')} of an earlier run,"
    classes = ", ".join(
        f"{name} {share(count, pixels)}" for name, count in summary.class_pixels.items()
    )
    stages = ", ".join(
        f"{name} {seconds:.1f} s" + (" (bottleneck)" if name == summary.bottleneck else "")
        for name, seconds in summary.stage_s.items()
    )
    skipped = f", {summary.tiles_skipped} of them without data" if summary.tiles_skipped else ""
    peaks = [size_text(summary.peak_memory_bytes)]
    if summary.peak_device_bytes is not None:
        peaks.append(f"{size_text(summary.peak_device_bytes)} on the device")
    return (
        f"{summary.output}: {summary.width} x {summary.height} px; {classes}, "
        f"no data {share(summary.nodata_pixels, pixels)}\n"
        f"{summary.elapsed_s:.1f} s, {speed} on {summary.device} ({summary.engine}, "
        f"{summary.precision}); {counted(summary.tiles, 'tile')} of {summary.tile_shape[1]} x "
        f"{summary.tile_shape[0]}{skipped}; {stages}; peak memory {', '.join(peaks)}"
    )


def describe_check(check: Verification) -> str:
    """One line: how far another tiling would have changed the mask."""
    return (
        f"verified {counted(check.windows, 'window')} with another tiling: "
        f"{check.labels_changed} of {check.pixels} labels changed, scores differ by "
        f"{check.largest_score_difference:.1e} at most"
    )
