"""Which engine `predict` would take here, and how fast it is: about ten seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geounet.cli.checkup.trying import Problem, attempt

if TYPE_CHECKING:
    from geounet.inference import Engine
    from geounet.models import Model

ENGINES = ("torch", "openvino")
TILE = 512
LONGEST_S = 2.0
"""How long an engine is timed, beside the first tile."""

SCENE_PX = 10_000**2
"""Of the scene for which a time is told."""

SIDE = 2048
"""Of the GeoTIFF that is written and read."""


@dataclass(frozen=True)
class EngineReport:
    """An engine on this machine.

    Attributes:
        name: the word of `--engine`.
        is_chosen: whether `--engine auto` takes it.
        device: on which it runs.
        precision: in which it computes.
        mpx_per_s: million pixels per second of the default network; None: not measured.
        problem: why it cannot be used; None: it can.
    """

    name: str
    is_chosen: bool
    device: str | None
    precision: str | None
    mpx_per_s: float | None
    problem: str | None


@dataclass(frozen=True)
class DiskReport:
    """Megabytes of pixels per second of a GeoTIFF, deflate, three bands, in the temporary folder.

    Attributes:
        write_mb_per_s: with one thread.
        read_mb_per_s: with one thread; from the system's cache.
    """

    write_mb_per_s: float
    read_mb_per_s: float


def check_engines(*, is_timed: bool) -> list[EngineReport]:
    """Every engine, tried with one tile or timed."""
    chosen = attempt(lambda: _start("auto").name)
    return [_check_engine(name, name == chosen, is_timed=is_timed) for name in ENGINES]


def explain_choice(reports: list[EngineReport]) -> str:
    """Why `--engine auto` takes what it takes."""
    chosen = next((report for report in reports if report.is_chosen), None)
    if chosen is None:
        return "no engine runs here"
    if chosen.name == "openvino":
        return "openvino is installed and the network runs on the CPU, where it is the fastest"
    if not str(chosen.device).startswith("cpu"):
        return f"the network runs on {chosen.device}, which torch serves"
    return "openvino, which is faster on the CPU, is not installed; pip install 'geounet[openvino]'"


def time_disk() -> DiskReport | Problem:
    """Write and read a GeoTIFF."""
    return attempt(_time_disk)


def foresee_scene(reports: list[EngineReport], disk: DiskReport | Problem) -> float | None:
    """Seconds that a scene of 10,000 x 10,000 pixels and three bytes would take; None: not known.

    Reading, computing and writing go on side by side: the slowest decides.
    """
    rates = [report.mpx_per_s for report in reports if report.is_chosen and report.mpx_per_s]
    if not rates or isinstance(disk, Problem):
        return None
    megapixels = SCENE_PX / 1e6
    return max(
        megapixels / rates[0],
        3 * megapixels / disk.read_mb_per_s,
        megapixels / disk.write_mb_per_s,
    )


def _check_engine(name: str, is_chosen: bool, *, is_timed: bool) -> EngineReport:
    started = attempt(lambda: _start(name))
    if isinstance(started, Problem):
        return EngineReport(name, is_chosen, None, None, None, started.reason)
    device, precision = str(started.runtime.device), started.runtime.precision
    rate = attempt(lambda: _time_engine(started, LONGEST_S if is_timed else 0.0))
    if isinstance(rate, Problem):
        return EngineReport(name, is_chosen, device, precision, None, rate.reason)
    return EngineReport(name, is_chosen, device, precision, rate if is_timed else None, None)


def _start(name: Any) -> Engine:  # noqa: ANN401 - checked by what is called
    import numpy as np

    from geounet.inference import PredictOptions, start_engine

    return start_engine([_make_model()], np.dtype(np.uint8), PredictOptions(engine=name))


def _make_model() -> Model:
    """The network that `train` makes by default, for three bands and two classes."""
    import torch

    from geounet.classes import make_classes
    from geounet.models import Band, Model, ModelSpec, build_network
    from geounet.training.learning.network_options import DEFAULT_ARCHITECTURE, NETWORK_ARGUMENTS

    arguments = NETWORK_ARGUMENTS[DEFAULT_ARCHITECTURE]
    with torch.random.fork_rng(devices=[]):
        network = build_network(DEFAULT_ARCHITECTURE, 3, 2, arguments).eval()
    geometry: Any = network.geometry
    spec = ModelSpec(
        architecture=DEFAULT_ARCHITECTURE,
        arguments=arguments,
        bands=(Band(None, "uint8", 120.0, 60.0),) * 3,
        classes=make_classes(["background", "object"]),
        pixel_size_m=None,
        margin=geometry.margin,
        stride=geometry.stride,
    )
    return Model(spec, network, "speed test", "")


def _time_engine(engine: Engine, longest_s: float) -> float:
    """Million pixels of output per second; a first tile, which compiles, does not count."""
    import numpy as np

    side = (TILE if longest_s else engine.geometry.stride) + 2 * engine.geometry.read_margin
    image = np.random.default_rng(0).integers(0, 255, (1, 3, side, side), np.uint8)
    valid = np.ones((1, side, side), bool)
    engine(image, valid)
    elapsed = [_time(lambda: engine(image, valid))] if longest_s else [1.0]
    while sum(elapsed) < longest_s:
        elapsed.append(_time(lambda: engine(image, valid)))
    return float(TILE**2 / 1e6 / min(elapsed))


def _time_disk() -> DiskReport:
    import numpy as np
    import rasterio

    steps = np.random.default_rng(0).integers(-2, 3, (3, SIDE, SIDE), np.int8)
    pixels = (128 + steps.cumsum(axis=2, dtype=np.int32) % 100).astype(np.uint8)
    profile = {
        "driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8",
        "compress": "deflate", "tiled": True, "blockxsize": 512, "blockysize": 512,
        "transform": rasterio.Affine(1, 0, 0, 0, -1, 0), "crs": "EPSG:3857",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.tif"

        def write() -> None:
            with rasterio.open(path, "w", **profile) as file:
                file.write(pixels)

        def read() -> None:
            with rasterio.open(path) as file:
                file.read()

        megabytes = pixels.nbytes / 1e6
        return DiskReport(megabytes / _time(write), megabytes / min(_time(read), _time(read)))


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
