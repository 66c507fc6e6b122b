"""Raw pixels -> what the network sees, on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geounet.models import Band


class Normaliser:
    """x' = (x - offset) / scale for each band, as the engines of inference do it."""

    def __init__(self, bands: Sequence[Band], device: torch.device) -> None:
        self._device = device
        self._offset = torch.tensor([b.offset for b in bands], dtype=torch.float64)[:, None, None]
        self._scale = torch.tensor([b.scale for b in bands], dtype=torch.float64)[:, None, None]

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Tensor:
        """float32 (N, bands, H, W), channels last; 0, the training mean, where not valid."""
        x = torch.from_numpy(image)
        # float32 cannot hold wide integers or float64 with a large offset
        is_narrow = x.dtype.itemsize <= 2 or x.dtype == torch.float32
        device, dtype = (
            (self._device, torch.float32) if is_narrow else (torch.device("cpu"), torch.float64)
        )
        offset, scale = (v.to(device, dtype) for v in (self._offset, self._scale))
        x = x.to(device, non_blocking=True).to(dtype)
        x = (x - offset).div_(scale).to(self._device, torch.float32)
        # not a product: NaN and infinity are among the invalid
        x.masked_fill_(~torch.from_numpy(valid).to(self._device)[:, None], 0.0)
        # last: band by band all of it is twice as fast
        return x.contiguous(memory_format=torch.channels_last)
