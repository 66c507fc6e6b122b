"""Layers that treat the chips of all processes as one batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from geounet.training.team.share import Share

CHANNELS = (0, 2, 3)
"""What is summed over in (N, C, H, W)."""


def share_layers(network: nn.Module, share: Share, device: torch.device) -> None:
    """Let BatchNorm and Dropout2d of a network do what they would do in one process.

    Layers stay what they are, with their weights and names; only how they train changes. Layers of
    other kinds, as encoders of segmentation_models_pytorch may have, see the process's own chips.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = CudaNorm if device.type == "cuda" else SharedNorm
        elif type(module) is nn.Dropout2d:
            module.__class__ = SharedDropout
            vars(module)["share"] = share


class SharedDropout(nn.Dropout2d):
    """Drops of each chip the channels that one process would drop."""

    share: Share

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not self.training:
            return x
        kept = x.new_empty(self.share.size * x.shape[0], x.shape[1], 1, 1).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)[self.share.every]


class CudaNorm(nn.SyncBatchNorm, nn.BatchNorm2d):
    """What torch has for GPUs, and still a BatchNorm2d, which prediction folds away."""

    process_group = None  # that of all


class SharedNorm(nn.BatchNorm2d):
    """BatchNorm with mean and variance over the chips of all processes, on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not self.training:
            return super().forward(x)
        y, mean, variance, count = _Normalised.apply(x, self.weight, self.bias, self.eps)
        self._follow(mean, variance * (count / (count - 1)))
        normalised: Tensor = y
        return normalised

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as BatchNorm does."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None  # kept together with those
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Normalised(torch.autograd.Function):
    """x, weight, bias, eps -> normalised x, then mean, variance and count over all processes."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  torch's own
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        mean, variance, count = _measure(x)
        y = torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.count = eps, count
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        x, weight, mean, variance = ctx.saved_tensors
        # as if mean and variance were constants, in fused kernels
        direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            *(gradients[0].to(x.dtype), x, weight, mean, variance),
            *(None, None, False, ctx.eps, [True] * 3),
        )
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        spread = (variance + ctx.eps).rsqrt()
        shift, slope = (sums * weight * spread / ctx.count).unbind()
        columns = (shift, mean, slope * spread)
        shift, mean, slope = (v[:, None, None] for v in columns)
        through = torch.addcmul(direct - shift, x - mean, slope, value=-1)
        return through.to(x.dtype), of_weight, of_bias, None


def _measure(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance (C,) of the channels over all processes, and of how many values."""
    count = x.numel() // x.shape[1]
    variance, mean = torch.var_mean(x.float(), CHANNELS, correction=0)
    own = torch.stack([mean, variance])
    found = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(found, own)
    means, variances = torch.stack(found).unbind(dim=1)  # (processes, C); all have as many chips
    mean = means.mean(dim=0)
    # not mean of squares less square of mean, which would lose its digits
    return mean, (variances + (means - mean) ** 2).mean(dim=0), float(count * len(found))
