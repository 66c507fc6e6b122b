"""How much memory a network's activations take, without running it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def activation_bytes(network: nn.Module, bands: int, side: int, dtype: torch.dtype) -> int:
    """Peak bytes of all tensors alive during one forward pass on (1, bands, side, side).

    The pass is done on the meta device: shapes are computed, numbers are not.
    """
    parameters = {k: v.to("meta", dtype) for k, v in network.state_dict().items()}
    with torch.inference_mode(), _AliveBytes() as alive:
        image = torch.empty(1, bands, side, side, dtype=dtype, device="meta")
        torch.func.functional_call(network, parameters, (image,))
    return int(alive.peak)


class _AliveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        self._seen.add(key)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size
