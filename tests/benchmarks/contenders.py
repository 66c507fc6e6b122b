"""The contenders of `predict.py`. This file is also the program that runs one of them.

Each `make_...` imports and prepares what it needs and returns the work that is timed: a call that
takes the scene from its file and leaves the mask in another, and tells what is worth knowing.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from measuring import Measurement, Task, peak_bytes
from numpy.typing import NDArray
from rasterio.windows import Window

from geounet.inference import PredictOptions, predict, resolve_runtime
from geounet.inference.engines.engine import Pending
from geounet.inference.planning.plan import list_parts, list_tiles
from geounet.inference.running.preparation import Prepared, prepare
from geounet.inference.running.streaming import batch_tiles, load_tile
from geounet.models import Model, ModelSpec, load_model

Work = Callable[[], dict[str, Any]]

LOOP_TILE, LOOP_OVERLAP = 256, 64
MONAI_WINDOW, MONAI_OVERLAP = 512, 0.25


def make_geounet(task: Task, model: Model, engine: str) -> Work:
    """`geounet.predict` with default options, and all that it does beside the network.

    Preparing, planning, compiling, parts, assembling, overviews.
    """
    options = _read_options(task, engine)

    def run() -> dict[str, Any]:
        summary = predict(task.scene, model, task.output, replace(options, overwrite=True))
        return {
            "precision": summary.precision,
            "tile": summary.tile_shape,
            "stage_s": summary.stage_s,
        }

    return run


def make_bare(task: Task, model: Model, engine: str) -> Work:
    """The engine called on the tiles of geounet's own plan, which are already in memory.

    Nothing is planned, read, cut, written or assembled, and the engine is started. What it does
    at the first batch of a shape, as compiling for it, counts.
    """
    options = _read_options(task, engine)
    begun = time.perf_counter()
    with prepare(task.scene, model, options) as prepared:
        prepare_s = time.perf_counter() - begun
        batches = list(_read_batches(prepared))
    runner = prepared.engine

    def run() -> dict[str, Any]:
        seconds, begun = [], deque[Pending]()
        for image, valid in batches:
            started = time.perf_counter()
            begun.append(runner.submit(image, valid))
            if len(begun) > runner.ahead:
                begun.popleft()()
            seconds.append(time.perf_counter() - started)
        for pending in begun:
            pending()
        return {
            "precision": runner.runtime.precision,
            "tile": prepared.plan.tile_shape,
            "prepare_s": prepare_s,
            "compile_s": seconds[0] - min(seconds[1:]) if len(seconds) > 1 else None,
        }

    return run


def make_monai(task: Task, model: Model) -> Work:
    """MONAI's SlidingWindowInferer as it is used: the scene in memory, Gaussian blending."""
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer(MONAI_WINDOW, overlap=MONAI_OVERLAP, mode="gaussian")
    device = resolve_runtime().device
    network = model.network.to(device)

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        with rasterio.open(task.scene) as source:
            image = torch.from_numpy(normalise(source.read(), model.spec)).to(device)
        scores = inferer(image[None], network)
        write_mask(task, scores.argmax(dim=1)[0].cpu().numpy(), model.spec)
        return {"precision": "float32"}

    return run


def make_loop(task: Task, model: Model) -> Work:
    """The loop that most tools have: padded tiles that overlap, of each the middle is kept."""
    device = resolve_runtime().device
    network = model.network.to(device)

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        with rasterio.open(task.scene) as source:
            mask = np.zeros(source.shape, np.uint8)
            for row, rows in _list_steps(source.height):
                for col, cols in _list_steps(source.width):
                    pixels = source.read(window=Window(col, row, LOOP_TILE, LOOP_TILE))
                    x = torch.from_numpy(normalise(pixels, model.spec)).to(device)
                    labels = network(x[None]).argmax(dim=1)[0].cpu().numpy()
                    kept = labels[rows.start - row : rows.stop - row, cols.start - col :]
                    mask[rows, cols] = kept[:, : cols.stop - cols.start]
        write_mask(task, mask, model.spec)
        return {"precision": "float32"}

    return run


CONTENDERS: dict[str, Callable[[Task, Model], Work]] = {
    "openvino": partial(make_geounet, engine="openvino"),
    "torch": partial(make_geounet, engine="torch"),
    "loop": make_loop,
    "monai": make_monai,
    "bare-openvino": partial(make_bare, engine="openvino"),
    "bare-torch": partial(make_bare, engine="torch"),
}


def normalise(pixels: NDArray[Any], spec: ModelSpec) -> NDArray[np.float32]:
    """Float32 (bands, H, W) as the model wants it."""
    offset = np.array([band.offset for band in spec.bands], np.float32)
    scale = np.array([band.scale for band in spec.bands], np.float32)
    return (pixels.astype(np.float32) - offset[:, None, None]) / scale[:, None, None]


def write_mask(task: Task, indices: NDArray[Any], spec: ModelSpec) -> None:
    """Write class values, uint8, deflated in blocks."""
    values = np.array([item.value for item in spec.classes], np.uint8)[indices]
    with rasterio.open(task.scene) as source:
        profile = {"crs": source.crs, "transform": source.transform}
    height, width = values.shape
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    with rasterio.open(
        task.output, "w", "GTiff", width, height, 1, dtype="uint8", **profile, **options
    ) as target:
        target.write(values, 1)


def _list_steps(size: int) -> Iterator[tuple[int, slice]]:
    """Along one axis: where each tile begins, and which pixels of the scene it is kept for."""
    last, half = size - LOOP_TILE, LOOP_OVERLAP // 2
    for start in [*range(0, last, LOOP_TILE - LOOP_OVERLAP), last]:
        first = start + half if start else 0
        end = size if start == last else start + LOOP_TILE - half
        yield start, slice(first, end)


def _read_batches(prepared: Prepared) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    scene, _, engine, plan = prepared
    loaded = (
        load_tile(scene, part, tile, plan.aoi)
        for part in list_parts(plan, engine, scene)
        for tile in list_tiles(plan, part, engine, scene)
    )
    for group in batch_tiles(loaded, plan.batch):
        needed = [one for one in group if one.needs_network]
        if needed:
            yield np.stack([one.image for one in needed]), np.stack([one.valid for one in needed])


def _read_options(task: Task, engine: str) -> PredictOptions:
    device = {}
    if engine == "openvino":  # geounet imports it later, when the clock runs
        import_module("openvino")
        device = {"device": "cpu"}
    paths = {name: Path(task.options[name]) for name in ("aoi", "polygons") if name in task.options}
    return PredictOptions(engine=engine, **{**device, **task.options, **paths})


def main() -> None:
    task = Task(**json.loads(sys.argv[1]))
    model = load_model(task.model)
    with rasterio.open(task.scene) as source:
        pixels = source.height * source.width
    work = CONTENDERS[task.contender](task, model)
    idle = peak_bytes()
    started = time.perf_counter()
    details = work()
    seconds = time.perf_counter() - started
    measurement = Measurement(task.contender, seconds, pixels, peak_bytes(), idle, details)
    print(json.dumps(asdict(measurement)))


if __name__ == "__main__":
    main()
