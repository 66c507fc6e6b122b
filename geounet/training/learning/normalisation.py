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
        wide = torch.tensor([(b.offset, b.scale) for b in bands], dtype=torch.float64)
        self._wide = wide.T[..., None, None]  # offset, scale: (bands, 1, 1)
        self._narrow = self._wide.to(device, torch.float32)

    def __call__(self, image: NDArray[np.generic], valid: NDArray[np.bool_]) -> Tensor:
        """float32 (N, bands, H, W); 0, the training mean, where not valid."""
        x = torch.from_numpy(image)
        # float32 cannot hold wide integers or float64 with a large offset
        is_narrow = x.dtype.itemsize <= 2 or x.dtype == torch.float32
        offset, scale = (self._narrow if is_narrow else self._wide).unbind()
        x = x.to(offset.device, non_blocking=True).to(offset.dtype)
        x = (x - offset).div_(scale).to(self._device, torch.float32)
        # not a product: NaN and infinity are among the invalid
        has_data = torch.from_numpy(valid).to(self._device, non_blocking=True)
        return x.masked_fill_(~has_data[:, None], 0.0)
