"""The memory of activations is foretold from two small passes."""

import ctypes
import subprocess
import sys
import weakref

import pytest
import torch
from networks import make_model
from rasters import write_raster
from test_inference_predict import make_pixels
from torch.utils._python_dispatch import TorchDispatchMode

from geounet.inference.engines.memory import Activations, Made, activation_bytes
from geounet.models import build_network, to_inference_form


class Watched(TorchDispatchMode):
    """Adds up the storages alive, at the level of torch's own operations."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            storage = result.untyped_storage()
            key = storage._cdata
            if key not in self.alive:
                self.alive[key] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, key)
                self.peak = max(self.peak, sum(self.alive.values()))
        return result


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("unet", {"width": 4, "depth": 3, "padding": "same", "norm": "batch"}),
        ("unet", {"width": 8, "depth": 2}),
        ("resunet", {"width": 8}),
        ("resunet", {"width": 8, "blocks": (2, 1, 2, 1)}),
    ],
)
@pytest.mark.parametrize("tiles", [7, 12])
def test_foretells_the_peak(architecture, arguments, tiles):
    network = build_network(architecture, 3, 4, arguments).eval()
    side = 2 * network.geometry.read_margin + tiles * network.geometry.stride
    form = to_inference_form(network)
    with torch.inference_mode(), Watched() as watched:
        form(torch.zeros(1, 3, side, side))
    foretold = activation_bytes(network, 3, side, torch.float32)
    assert 0.95 * watched.peak <= foretold <= 1.05 * watched.peak
    assert activation_bytes(network, 3, side, torch.bfloat16) == foretold // 2


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_predict_loads_only_what_it_needs(tmp_path, engine):
    """Each of these takes 30 to 180 MB and up to seconds."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    path, _ = make_model(tmp_path)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(40, 50))
    code = (
        "import sys; from geounet.inference import predict, PredictOptions\n"
        f"predict({str(scene)!r}, {str(path)!r}, {str(tmp_path / 'mask.tif')!r}, "
        f"PredictOptions(engine={engine!r}))\n"
        "print(*sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(run.stdout.split())
    assert "torch" in loaded
    heavy = {"torch._dynamo", "torch._inductor", "sympy", "numba", "geopandas", "pandas"}
    assert not loaded & {*heavy, "matplotlib", "triton", "sklearn"}


def test_large_arrays_leave_no_holes_in_the_heap():
    """glibc would take the second from the heap, since the first was larger when it was freed."""
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("another C library")
    code = (
        "import ctypes, numpy as np\n"
        "from geounet.heap import free_large_at_once\n"
        "mallinfo, names = ctypes.CDLL(None).mallinfo2, 'abcdefghij'\n"
        "fields = [(name, ctypes.c_size_t) for name in names]\n"
        "mallinfo.restype = type('Info', (ctypes.Structure,), {'_fields_': fields})\n"
        "free_large_at_once()\n"
        "np.empty(30_000_000, np.uint8)\n"
        "before = mallinfo().e\n"
        "kept = np.empty(8_000_000, np.uint8)\n"
        "print(mallinfo().e - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 8_000_000 <= int(run.stdout) <= 8_100_000


def test_a_pass_may_free_in_another_order():
    """As it does beside a profiler, which holds what it looks at for a moment."""
    small, large = ([Made(i, 4, torch.Size((n, n))) for i in (1, 2)] for n in (10, 20))
    passes = ([*small, 1, 2], [large[0], 1, large[1], 2])
    assert Activations((10, 20), passes).count_bytes(40) == 2 * 4 * 40 * 40
