"""PyTorch on a CUDA device: copies in and out beside the arithmetic, each on its own stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.errors import ResourceError
from geounet.inference.engines.engine import Outputs, Pending, is_out_of_memory
from geounet.inference.engines.predictor import Predictor
from geounet.inference.engines.runtime import Runtime


class CudaEngine:
    """PyTorch on a CUDA device.

    While one batch is computed the next is copied to the device and the last one's classes come
    back, through pinned memory. Only one batch is computed at a time, so that activations take the
    memory of one.
    """

    name = "torch"
    ahead = 2

    def __init__(self, predictor: Predictor, runtime: Runtime) -> None:
        self.geometry, self.request = predictor.geometry, predictor.request
        self.classes = len(predictor.values)
        self.runtime = runtime
        predictor.set_precision(runtime.dtype)
        try:
            with _naming(runtime.device):
                torch.ones(1, device=runtime.device).add_(1)  # too old a GPU says so only here
                self.predictor = predictor.to(runtime.device).eval()
                self._upload = torch.cuda.Stream(runtime.device)  # type: ignore[no-untyped-call]
                self._download = torch.cuda.Stream(runtime.device)  # type: ignore[no-untyped-call]
        except MemoryError as error:
            raise ResourceError(
                f"the memory of {runtime.device} is too full for the network; free some, or use "
                "--device cpu"
            ) from error

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Outputs:
        """See `Engine`."""
        return self.submit(image, valid)()

    @torch.inference_mode()
    def submit(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Pending:
        """See `Engine`."""
        device = self.runtime.device
        with _naming(device), torch.cuda.device(device), _reproducible(self.runtime):
            return self._fetch(self.predictor(*self._send(image, valid)))

    def rest(self) -> None:
        """See `Engine`."""
        torch.cuda.empty_cache()

    def _send(self, *arrays: NDArray[Any]) -> list[Tensor]:
        """Copies on the device, there before the computing stream goes on."""
        computing = torch.cuda.current_stream()
        with torch.cuda.stream(self._upload):
            hosts = [torch.from_numpy(array).pin_memory() for array in arrays]
            sent = [host.to(self.runtime.device, non_blocking=True) for host in hosts]
        computing.wait_stream(self._upload)
        for x in sent:
            x.record_stream(computing)  # made on another stream: not to be reused before its end
        return sent

    def _fetch(self, outputs: dict[str, Tensor]) -> Pending:
        """Begin to copy the outputs back; the result waits for them."""
        self._download.wait_stream(torch.cuda.current_stream())
        hosts: dict[str, Tensor] = {}
        with torch.cuda.stream(self._download):
            for kind, x in outputs.items():
                x.record_stream(self._download)
                hosts[kind] = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
                hosts[kind].copy_(x, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._download)

        def wait() -> Outputs:
            with _naming(self.runtime.device):
                done.synchronize()
            return {kind: host.numpy() for kind, host in hosts.items()}

        return wait


@contextmanager
def _naming(device: torch.device) -> Iterator[None]:
    """Errors of the device as what they mean.

    Raises:
        MemoryError: something does not fit.
        ResourceError: the device cannot be used, or fails.
    """
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise MemoryError(str(error)) from error
        if "CUDA error" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise ResourceError(f"{device} fails: {reason}; use --device cpu") from error


_switches = Lock()
"""Of cuDNN, which are the whole process's: held while they are set for one engine."""


@contextmanager
def _reproducible(runtime: Runtime) -> Iterator[None]:
    """Let cuDNN choose its algorithms by rule, not by trial, and keep float32 what it says.

    By default it multiplies float32 as TF32, with 10 bits; a trial may choose another algorithm,
    hence other last bits, each time. Kernels are launched meanwhile, not waited for.
    """
    is_tf32 = runtime.precision != "float32"
    cudnn = torch.backends.cudnn
    with _switches:
        if not hasattr(cudnn, "conv"):  # before torch 2.9
            with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=is_tf32):
                yield
            return
        # `flags` fails where the precision was set as torch 2.9 says, by the caller for instance
        before = cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision
        try:
            cudnn.benchmark, cudnn.deterministic = False, True
            cudnn.conv.fp32_precision = "tf32" if is_tf32 else "ieee"
            yield
        finally:
            cudnn.benchmark, cudnn.deterministic, cudnn.conv.fp32_precision = before
