"""Losses over scores and labels; ignored pixels have no part in them.

All are over a whole batch, not chip by chip: a chip without a class says little about its Dice.

ce and focal are means over pixels with the weights w(x) = w_c(x) + border(x): the class weight of
the pixel's label plus its border weight, as in the paper's equation 2. dice, iou, tversky and
lovasz compare regions, in which a pixel counts 1 + border(x); they do not depend on how common a
class is. They are means over the classes, background too, that the batch has labelled pixels of: an
absent class has no overlap that could be better.

Where several processes train together, the batch is that of all, and each has a part of it. The
sums over pixels that losses are made of are summed over the processes: a few numbers per class,
however large the chips are. Only lovasz, which sorts all pixels, gathers the scores themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from geounet.classes import NODATA
from geounet.training.loss.class_weights import weigh_classes
from geounet.training.loss.loss_options import LossOptions, LossTerm
from geounet.training.team.team import SOLO, Team

SMOOTH = 0.5
"""Pixels added to both sides of an overlap's fraction: a few pixels are not judged harshly."""

TINY = 1e-12
"""Keeps fractions of nothing, and powers at zero, finite."""


@dataclass(frozen=True)
class Loss:
    """A sum of losses.

    Attributes:
        terms: what is summed.
        class_weights: float32 (K,), on the device of the scores.
        smoothing: share of each label that is spread over all classes, in ce and focal.
        team: the processes that have parts of the batch.
    """

    terms: Sequence[LossTerm]
    class_weights: Tensor
    smoothing: float = 0.0
    team: Team = SOLO

    def __call__(self, scores: Tensor, labels: Tensor, border: Tensor | None = None) -> Tensor:
        """The loss of a batch: 0, with zero gradient, if all is ignored.

        Args:
            scores: (N, K, H, W) before softmax; those of 16 bits are taken to float32.
            labels: uint8 (N, H, W) channel indices; 255 is ignored: its gradient is exactly zero.
            border: float32 (N, H, W), 0 or more, added to the weights of pixels; None: nothing.
        """
        # float32: sums over a batch's pixels have too few digits in bfloat16
        dtype = torch.promote_types(scores.dtype, torch.float32)
        # channel by channel: with few classes, channels last leaves vector units idle
        scores = scores.to(dtype, memory_format=torch.contiguous_format)
        extra = torch.zeros((), device=scores.device) if border is None else border
        scored = Scored(scores.log_softmax(dim=1), labels, self.class_weights, extra, self.team)
        values = (LOSSES[t.name](scored, self.smoothing, *t.parameters) for t in self.terms)
        weighted = [t.factor * value for t, value in zip(self.terms, values, strict=True)]
        return torch.stack(weighted).sum()


def make_loss(
    options: LossOptions, class_shares: Sequence[float], device: torch.device, team: Team = SOLO
) -> Loss:
    """The loss that options ask for.

    Args:
        options: what to minimise.
        class_shares: share of each channel's class in the labelled pixels.
        device: of the scores.
        team: the processes that have parts of the batch.
    """
    weights = weigh_classes(class_shares, options.class_weights)
    on_device = torch.tensor(weights, dtype=torch.float32, device=device)
    return Loss(options.terms, on_device, options.label_smoothing, team)


@dataclass(frozen=True)
class Scored:
    """Probabilities and truth of a batch, and what each pixel counts.

    Attributes:
        log_probability: (N, K, H, W).
        labels: uint8 (N, H, W) channel indices; 255 is ignored.
        class_weights: (K,).
        border: (N, H, W) or (), added to the weights.
        team: the processes that have the other chips.
    """

    log_probability: Tensor
    labels: Tensor
    class_weights: Tensor
    border: Tensor
    team: Team = SOLO

    def gather(self) -> Scored:
        """That of all processes in one."""
        if self.team.is_alone:
            return self
        border = self.team.gather(self.border) if self.border.ndim else self.border
        scores, labels = self.team.gather(self.log_probability), self.team.gather(self.labels)
        return Scored(scores, labels, self.class_weights, border)

    @cached_property
    def probability(self) -> Tensor:
        """(N, K, H, W)."""
        return self.log_probability.exp()

    @cached_property
    def truth(self) -> Tensor:
        """1 where a pixel is of the class, else 0, (N, K, H, W); ignored pixels are of none."""
        classes = self.log_probability.shape[1]
        channels = torch.arange(classes, dtype=torch.uint8, device=self.labels.device)
        # products with bool would be converted pixel by pixel
        return (self.labels[:, None] == channels[:, None, None]).to(self.log_probability)

    @cached_property
    def labelled(self) -> Tensor:
        """1 where a pixel has a label, 0 where it is ignored, (N, H, W)."""
        return (self.labels != NODATA).to(self.log_probability)

    @cached_property
    def weights(self) -> Tensor:
        """w_c + border, (N, H, W); 0 where ignored."""
        ignored = self.class_weights.new_zeros(NODATA + 1 - len(self.class_weights))
        by_label = torch.cat([self.class_weights, ignored])
        return by_label[self.labels.int()] + self.border * self.labelled

    @cached_property
    def extents(self) -> Tensor:
        """1 + border: what a pixel adds to a region, (N, H, W); 0 where ignored."""
        return (1 + self.border) * self.labelled


def cross_entropy(scored: Scored, smoothing: float) -> Tensor:
    """Weighted mean of -log p(label)."""
    return _mean_cost(scored, scored.log_probability, smoothing)


def focal_loss(scored: Scored, smoothing: float, gamma: float) -> Tensor:
    """Weighted mean of -(1 - p)^gamma log p(label) (Lin et al. 2017); their alpha is w_c."""
    # -expm1(log p) = 1 - p, with all its digits near p = 1
    doubt = (-scored.log_probability.expm1()).clamp(min=TINY) ** gamma
    return _mean_cost(scored, doubt * scored.log_probability, smoothing)


def dice_loss(scored: Scored, smoothing: float) -> Tensor:
    """1 - 2 |P T| / (|P| + |T|), mean over the classes present."""
    return tversky_loss(scored, smoothing, 0.5, 0.5)


def iou_loss(scored: Scored, smoothing: float) -> Tensor:
    """1 - |P T| / |P or T|, soft Jaccard, mean over the classes present."""
    return tversky_loss(scored, smoothing, 1.0, 1.0)


def tversky_loss(scored: Scored, smoothing: float, alpha: float, beta: float) -> Tensor:
    """1 - |P T| / (|P T| + alpha |P - T| + beta |T - P|), mean over the classes present.

    alpha is the price of false alarms, beta of misses (Salehi et al. 2017). Not smoothed.
    """
    extents, truth = scored.extents[:, None], scored.truth
    claimed = scored.probability * extents
    over = (0, 2, 3)
    sums = (claimed * truth).sum(over), claimed.sum(over), (extents * truth).sum(over)
    hit, claim, true = map(scored.team.total, sums)
    union = hit + alpha * (claim - hit) + beta * (true - hit)
    return _mean_present(1 - (hit + SMOOTH) / (union + SMOOTH), true)


def lovasz_loss(scored: Scored, smoothing: float) -> Tensor:
    """Lovász-softmax (Berman et al. 2018), mean over the classes present. Not smoothed.

    The Lovász extension of the Jaccard loss of the set of wrong pixels, at the vector of errors
    |T - P|: the sum of the sorted errors, each times what its pixel adds to the Jaccard loss of
    those before it.
    """
    scored = scored.gather()
    classes = scored.truth.shape[1]
    truth, probability = (
        x.transpose(0, 1).reshape(classes, -1) for x in (scored.truth, scored.probability)
    )  # (K, N * H * W)
    errors = (truth - probability).abs() * scored.labelled.reshape(-1)
    errors, order = errors.sort(dim=1, descending=True)
    truth, extent = truth.gather(1, order), scored.extents.reshape(-1)[order]
    true = (extent * truth).sum(dim=1, keepdim=True)
    left = true - (extent * truth).cumsum(dim=1)
    union = true + (extent * (1 - truth)).cumsum(dim=1)
    # differences of 1 - left / union in closed form: those of neighbours would lose their digits
    added = torch.where(truth > 0, 1.0, left / (union - extent).clamp(min=TINY))
    slopes = extent * added / union.clamp(min=TINY)
    return _mean_present((errors * slopes).sum(dim=1), true[:, 0])


LOSSES: dict[str, Callable[..., Tensor]] = {
    "ce": cross_entropy,
    "focal": focal_loss,
    "dice": dice_loss,
    "iou": iou_loss,
    "tversky": tversky_loss,
    "lovasz": lovasz_loss,
}
"""Functions of `Scored`, label smoothing, and the parameters of the term."""


def _mean_cost(scored: Scored, gain: Tensor, smoothing: float) -> Tensor:
    """Weighted mean of what the label misses of the gain (N, K, H, W), which is below 0."""
    cost = functional.nll_loss(gain, scored.labels.long(), ignore_index=NODATA, reduction="none")
    if smoothing:
        cost = (1 - smoothing) * cost - smoothing * gain.mean(dim=1)
    cost, weight = map(scored.team.total, ((scored.weights * cost).sum(), scored.weights.sum()))
    return cost / weight.clamp(min=TINY)


def _mean_present(losses: Tensor, true: Tensor) -> Tensor:
    """Mean of the losses (K,) of classes that have true pixels; 0 if none has."""
    present = true > 0
    return torch.where(present, losses, 0.0).sum() / present.sum().clamp(min=1)
