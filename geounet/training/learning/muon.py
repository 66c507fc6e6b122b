"""Muon: steps that change a layer's output in all directions alike.

Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks": the momentum of a
weight matrix is replaced by the nearest orthogonal matrix, so that directions which are rare in the
gradients move as far as the frequent ones. Lengths of steps are those of Liu et al. (2025),
arXiv:2502.16982, section 2.2: as AdamW's are, so that its learning rates and decays hold here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration brings singular values to 0.7 to 1.2 (Jordan et al.)."""

ITERATIONS = 5

STEP_RMS = 0.2
"""Root mean square of a step at learning rate 1 (Liu et al., equation 4)."""

MOMENTUM = 0.95
"""Nesterov's."""

BLOCK = 128
"""Rows of the blocks of X X^T: as fast as the whole, but those above the diagonal are copies."""


class Muon(AdamW):
    """Muon for the groups that say "is_map"; AdamW for the others. See `group_weights`.

    Maps are out x all others in; those of transposed convolutions the reverse.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have gradients; what the closure returns."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["is_map"]]
        try:
            loss: float | None = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["is_map"]:
                for weight in group["params"]:
                    self._step_map(weight, group["lr"], group["weight_decay"])
        return loss

    def _step_map(self, weight: Tensor, lr: float, decay: float) -> None:
        if weight.grad is None:
            return
        state = self.state[weight]
        if not state:  # AdamW wants steps counted where it restores states
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
        state["step"] += 1
        momentum: Tensor = state["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        ahead = weight.grad.lerp(momentum, MOMENTUM)
        change = orthogonalise(ahead.flatten(1)).view_as(weight)
        length = STEP_RMS * max(change.shape[0], change[0].numel()) ** 0.5
        weight.mul_(1 - lr * decay).add_(change, alpha=-lr * length)


def is_map(weight: Tensor) -> bool:
    """Whether a weight maps several channels to others: no bias, no norm, not depthwise."""
    return weight.ndim > 1 and weight.shape[1] > 1


def orthogonalise(matrix: Tensor) -> Tensor:
    """About U V^T of the matrix's U S V^T: (m, n) -> (m, n), singular values 0.7 to 1.2.

    Those that were below about 1e-3 of the matrix's norm stay smaller. The iteration
    X <- p(X X^T) X is done on X X^T, which is small and square: 3 to 5 times less arithmetic.
    All of it is float32: in bfloat16 the frequent directions of a matrix that has few would be lost
    in the last product, where the rare ones' factors are 500 times as large.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalise(matrix.T).T
    matrix = matrix / (matrix.norm() + 1e-7)
    gram = _compute_gram(matrix)
    total = factor = _compute_factor(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _compute_factor(gram)
        total = factor @ total
    return total @ matrix


def _compute_gram(matrix: Tensor) -> Tensor:
    """X X^T, symmetric: a quarter to a third less work than the product."""
    side = len(matrix)
    product = matrix.new_empty(side, side)
    for start in range(0, side, BLOCK):
        stop = start + BLOCK
        product[start:, start:stop] = matrix[start:] @ matrix[start:stop].T
        product[start:stop, stop:] = product[stop:, start:stop].T
    return product


def _compute_factor(gram: Tensor) -> Tensor:
    """p(X X^T) of the quintic's p(X X^T) X."""
    a, b, c = COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


def group_weights(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The network's parameters, as optimisers take them: maps, other weights, biases and norms.

    The weights of the first layer and of those that score classes are AdamW's: their pixels and
    classes are no directions among others (Jordan et al.). These are the modules that a network
    names as `scoring`, or its last layer. Biases and norms do not decay.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    weights = [p for p in parameters if p.ndim > 1]
    scoring = [getattr(network, name) for name in getattr(network, "scoring", ())]
    scores = {id(p) for module in scoring for p in module.parameters()} or {id(weights[-1])}
    inner = [p for p in weights if id(p) not in scores][1:]
    maps = [p for p in inner if is_map(p)]
    mapped = set(map(id, maps))
    others = [p for p in weights if id(p) not in mapped]
    small = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": maps, "is_map": True, "weight_decay": weight_decay},
        {"params": others, "is_map": False, "weight_decay": weight_decay},
        {"params": small, "is_map": False, "weight_decay": 0.0},
    ]
