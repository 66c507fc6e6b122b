"""The form of a network that predicts: same weights, BatchNorm folded, no padding."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def to_inference_form(network: nn.Module) -> nn.Module:
    """A copy that computes only what is exact: unpadded, BatchNorm folded into convolutions.

    The values are those of the trained network wherever its padding did not reach; folding
    changes them by rounding only.
    """
    network = copy.deepcopy(network).eval()
    fold_weights(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
        elif isinstance(module, nn.ConvTranspose2d):  # cells to which all kernels contribute
            module.padding = tuple(
                k - s for k, s in zip(module.kernel_size, module.stride, strict=True)
            )
        elif isinstance(module, nn.MaxPool2d):
            module.padding = 0
        elif callable(unpad := getattr(module, "unpad", None)):
            unpad()
    return network.requires_grad_(False)


def fold_weights(network: nn.Module) -> None:
    """Compute what depends on weights alone, in place: BatchNorm becomes part of convolutions."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    for module in network.modules():
        if callable(freeze := getattr(module, "freeze", None)):
            freeze()


def _fold_sequence(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[index] = fuse_conv_bn_eval(convolution, norm)
            sequence[index + 1] = nn.Identity()
