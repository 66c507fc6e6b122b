"""CUDA: the same classes as on the CPU, whatever the batches, streams and memory."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from networks import make_model
from test_inference_predict import make_pixels

from geounet.inference import Request, Runtime, make_ensemble
from geounet.inference.engines.runtime import free_memory
from geounet.inference.windows import predict_window_outputs
from geounet.raster import Window

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]

HEIGHT, WIDTH = 700, 900


class ArrayScene:
    """An array read as a scene is, mirrored beyond its edges; no rasterio."""

    def __init__(self, pixels):
        self.pixels, self.valid = pixels, np.ones(pixels.shape[1:], bool)
        self.valid[100:160, 200:300] = False

    def read(self, window):
        rows = _mirror(np.arange(window.row_off, window.row_end), self.pixels.shape[1])
        cols = _mirror(np.arange(window.col_off, window.col_end), self.pixels.shape[2])
        return self.pixels[:, rows][:, :, cols], self.valid[rows][:, cols]


def _mirror(index, size):
    index = np.abs(index) % (2 * (size - 1))
    return np.minimum(index, 2 * (size - 1) - index)


def run(engine, tile=256):
    extent = Window(row_off=0, col_off=0, height=HEIGHT, width=WIDTH)
    return predict_window_outputs(engine, ArrayScene(make_pixels(HEIGHT, WIDTH)), extent, tile)


def start(tmp_path, device, precision, request=None, **arguments):
    _, model = make_model(tmp_path, **arguments)
    runtime = Runtime(torch.device(device), precision)
    return make_ensemble([(model.network, model.spec)], runtime, request or Request())


def test_float32_agrees_with_the_cpu(tmp_path):
    masks = [run(start(tmp_path, device, "float32"))["mask"] for device in ("cpu", "cuda")]
    assert (masks[0] == masks[1]).mean() >= 0.9999


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_short_floats_agree_with_float32(tmp_path, precision):
    request = Request(scores="float32")
    exact, short = (
        run(start(tmp_path, "cuda", p, request))["scores"] for p in ("float32", precision)
    )
    assert np.nanmax(np.abs(exact - short)) < 0.1
    assert (exact.argmax(0) == short.argmax(0)).mean() > 0.98


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_tiling_does_not_show(tmp_path, precision):
    engine = start(tmp_path, "cuda", precision)
    masks = [run(engine, tile)["mask"] for tile in (128, 256, 1024)]
    assert (masks[0] == masks[1]).mean() >= 0.9999
    assert (masks[0] == masks[2]).mean() >= 0.9999


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_batches_in_flight_are_kept_apart(tmp_path, dtype):
    """Pinned buffers and device memory are used again and again, never too early."""
    engine = start(tmp_path, "cuda", "float32", dtype=dtype)
    rng = np.random.default_rng(0)
    side = 64 + 2 * engine.geometry.read_margin
    images = [rng.integers(0, 255, (2, 3, side, side)).astype(dtype) for _ in range(40)]
    valid = np.ones((2, side, side), bool)
    expected = [engine(image, valid)["mask"].copy() for image in images]
    pending, found = [], []
    for image in images:
        pending.append(engine.submit(image, valid))
        if len(pending) > engine.ahead:
            found.append(pending.pop(0)()["mask"].copy())
    found += [wait()["mask"].copy() for wait in pending]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_halved(tmp_path):
    """With little of the device's memory allowed, the same classes come in smaller pieces."""
    engine = start(tmp_path, "cuda", "float32", width=64)
    shapes = []
    engine.predictor.register_forward_hook(lambda _, given, made: shapes.append(given[0].shape))
    expected = run(engine, tile=1024)["mask"]
    (whole,) = shapes
    shapes.clear()
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    # its first feature maps are 200 MB each, and three of them are needed at once
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400 * 2**20) / total)
    try:
        found = run(engine, tile=1024)["mask"]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(shapes) >= 2
    assert max(shape.numel() for shape in shapes) < whole.numel()
    assert (found == expected).mean() >= 0.9999


def test_what_was_freed_counts_as_free():
    """Torch keeps it: the next scene of a run gets tiles as large as the first one's."""
    device = torch.device("cuda", torch.cuda.current_device())
    torch.cuda.empty_cache()
    before = free_memory(device)
    kept = torch.empty(256 * 2**20, dtype=torch.uint8, device=device)
    assert free_memory(device) <= before - kept.nbytes // 2
    del kept
    assert free_memory(device) >= before - 64 * 2**20


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device")
def test_another_device_than_the_current_one(tmp_path):
    """In a thread of its own, as a run computes."""
    first, other = (start(tmp_path, device, "float32") for device in ("cuda:0", "cuda:1"))
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(run, other).result()["mask"]
    assert (found == run(first)["mask"]).mean() >= 0.9999
