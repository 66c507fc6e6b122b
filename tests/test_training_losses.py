"""Losses against closed forms, other implementations, and finite differences."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score, log_loss
from torch.nn import functional

from geounet.errors import UsageError
from geounet.training.loss.class_weights import PROTOTYPES, weigh_classes
from geounet.training.loss.loss_options import LossOptions, LossTerm, parse_loss
from geounet.training.loss.losses import SMOOTH, Loss

EVERY = ["ce", "focal", "focal:0.5", "dice", "iou", "tversky", "lovasz", "ce+dice"]


def make(seed=0, classes=3, shape=(2, 6, 5)):
    """Scores, labels with 255 among them, and border weights."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(shape[0], classes, *shape[1:], generator=generator)
    labels = torch.randint(classes, shape, generator=generator).to(torch.uint8)
    labels[torch.rand(shape, generator=generator) < 0.3] = 255
    return scores, labels, 4 * torch.rand(shape, generator=generator)


def loss_of(text, weights=(1.0, 1.0, 1.0), smoothing=0.0):
    return Loss(parse_loss(text), torch.tensor(weights), smoothing)


def pick(scores, labels):
    """Probabilities (M, K) and labels (M,) of the labelled pixels, in float64."""
    known = labels != 255
    probability = scores.double().softmax(dim=1).permute(0, 2, 3, 1)[known]
    return probability.numpy(), labels[known].numpy()


# --- sums -----------------------------------------------------------------------------------------


def test_a_sum_of_losses_is_read_with_factors_and_parameters():
    assert parse_loss("0.7*ce + .3*tversky:0.2:0.8+focal+1e-1*focal:3") == (
        LossTerm("ce", 0.7, ()),
        LossTerm("tversky", 0.3, (0.2, 0.8)),
        LossTerm("focal", 1.0, (2.0,)),
        LossTerm("focal", 0.1, (3.0,)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "choose from ce, focal"),
        ("ce+", "choose from"),
        ("ce+hinge", "'hinge' is no loss"),
        ("-1*ce", "choose from"),
        ("2ce", "choose from"),
        ("0*ce", "give numbers above 0"),
        ("tversky:0:0", "give numbers above 0"),
        ("tversky:0.3", "write tversky:0.3:0.7"),
        ("ce:1", "ce has 0 parameters, found 1; write ce"),
    ],
)
def test_other_sums_are_refused(text, said):
    with pytest.raises(UsageError, match=r"^--loss ") as error:
        parse_loss(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("border_weight", -1.0),
        ("border_weight", float("inf")),
        ("border_weight", float("nan")),
        ("border_sigma_px", 0.0),
        ("border_sigma_px", 99.0),
    ],
)
def test_numbers_that_mean_nothing_are_refused(option, value):
    with pytest.raises(UsageError, match=f"^--{option.removesuffix('_px').replace('_', '-')} is"):
        LossOptions(**{option: value})


def test_a_sum_is_a_sum():
    scores, labels, border = make()
    ce, dice = (loss_of(name)(scores, labels, border) for name in ("ce", "dice"))
    found = loss_of("0.7*ce+3*dice")(scores, labels, border)
    assert float(found) == pytest.approx(0.7 * float(ce) + 3 * float(dice), rel=1e-6)


# --- over pixels ----------------------------------------------------------------------------------


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    scores, labels, _ = make()
    expected = log_loss(pick(scores, labels)[1], pick(scores, labels)[0])
    assert float(loss_of("ce")(scores, labels)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_that_of_torch(smoothing):
    scores, labels, _ = make()
    weights = (1.0, 1.0, 1.0) if smoothing else (0.5, 2.0, 4.0)
    expected = functional.cross_entropy(
        scores,
        labels.long(),
        weight=torch.tensor(weights),
        ignore_index=255,
        label_smoothing=smoothing,
    )
    found = loss_of("ce", weights, smoothing)(scores, labels)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_pixels_weigh_as_equation_2_says():
    scores, labels, border = make()
    known = (labels != 255).numpy()
    probability, truth = pick(scores, labels)
    weights = np.array([0.5, 2.0, 4.0])[truth] + border.numpy()[known]
    costs = -np.log(probability[np.arange(len(truth)), truth])
    found = loss_of("ce", (0.5, 2.0, 4.0))(scores, labels, border)
    assert float(found) == pytest.approx((weights * costs).sum() / weights.sum(), rel=1e-6)


def test_focal_loss_is_its_formula():
    scores, labels, border = make()
    probability, truth = pick(scores, labels)
    right = probability[np.arange(len(truth)), truth]
    weights = np.array([0.5, 2.0, 4.0])[truth] + border.numpy()[labels.numpy() != 255]
    costs = -((1 - right) ** 1.5) * np.log(right)
    found = loss_of("focal:1.5", (0.5, 2.0, 4.0))(scores, labels, border)
    assert float(found) == pytest.approx((weights * costs).sum() / weights.sum(), rel=1e-6)


def test_focal_loss_without_focus_is_cross_entropy():
    scores, labels, border = make()
    focal = Loss((LossTerm("focal", 1.0, (0.0,)),), torch.ones(3), 0.2)
    found = focal(scores, labels, border)
    expected = loss_of("ce", smoothing=0.2)(scores, labels, border)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_smoothed_labels_are_learnt_as_such():
    """The least cross-entropy is at the smoothed label: 0.1 spread over 3, and 0.9 for its own."""
    labels = torch.zeros(1, 1, 1, dtype=torch.uint8)
    best = torch.tensor([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]).log().reshape(1, 3, 1, 1)
    scores = best.double().requires_grad_()
    loss_of("ce", smoothing=0.1)(scores, labels).backward()
    assert scores.grad.abs().max() < 1e-7


# --- over regions ---------------------------------------------------------------------------------


def test_overlaps_are_those_of_sets_for_certain_predictions():
    truth = torch.tensor([[[0, 0, 1, 1, 1, 255]]], dtype=torch.uint8)
    claim = torch.tensor([[[0, 1, 1, 1, 1, 0]]])
    scores = 100.0 * functional.one_hot(claim, 2).movedim(-1, 1)
    hits, false_alarms, misses = np.array([[1, 0, 1], [3, 1, 0]]).T

    def expected(alpha, beta):
        union = hits + alpha * false_alarms + beta * misses
        return 1 - ((hits + SMOOTH) / (union + SMOOTH)).mean()

    for text, prices in {"dice": (0.5, 0.5), "iou": (1, 1), "tversky:0.2:0.9": (0.2, 0.9)}.items():
        assert float(loss_of(text, (1, 1))(scores, truth)) == pytest.approx(expected(*prices))


def test_a_border_weight_counts_a_pixel_so_many_times_more():
    scores, labels, _ = make()
    extra = torch.randint(4, labels.shape, generator=torch.Generator().manual_seed(1))
    counts = (extra + 1).reshape(-1)
    many = scores.movedim(1, 0).reshape(3, -1).repeat_interleave(counts, dim=1)[None, :, None]
    same = labels.reshape(-1).repeat_interleave(counts)[None, None]
    for name in EVERY:
        found = loss_of(name)(scores, labels, extra.float())
        assert float(found) == pytest.approx(float(loss_of(name)(many, same)), rel=1e-5), name


def lovasz_plainly(errors, truth):
    """The Lovász extension of the Jaccard loss, by its definition over sets of wrong pixels."""

    def jaccard_loss(wrong):
        claimed = set(truth) ^ wrong
        return 1 - len(claimed & truth) / len(claimed | truth)

    order = np.argsort(-errors)
    chain = [set(order[:i].tolist()) for i in range(len(order) + 1)]
    gains = [
        jaccard_loss(after) - jaccard_loss(before) for before, after in itertools.pairwise(chain)
    ]
    return (errors[order] * gains).sum()


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2)])
def test_lovasz_loss_is_the_extension_of_the_jaccard_loss(present):
    scores, labels, _ = make()
    if 1 not in present:
        labels[labels == 1] = 255
    probability, truth = pick(scores, labels)
    expected = [
        lovasz_plainly(np.abs((truth == k) - probability[:, k]), set(np.flatnonzero(truth == k)))
        for k in present
    ]
    found = float(loss_of("lovasz")(scores, labels))
    assert found == pytest.approx(np.mean(expected), rel=1e-6)


def test_lovasz_loss_of_certain_predictions_is_one_minus_iou():
    _, labels, _ = make(classes=3)
    claim = torch.randint(3, labels.shape, generator=torch.Generator().manual_seed(3))
    scores = 200.0 * functional.one_hot(claim, 3).movedim(-1, 1)
    known = labels != 255
    iou = jaccard_score(labels[known], claim[known], average="macro")
    assert float(loss_of("lovasz")(scores, labels)) == pytest.approx(1 - iou, rel=1e-6)


def overlap_plainly(probability, truth, weights, present, alpha, beta):
    losses = []
    for k in present:
        p, t = probability[:, k], truth == k
        hit = (weights * p * t).sum()
        union = hit + alpha * (weights * p * ~t).sum() + beta * (weights * (1 - p) * t).sum()
        losses.append(1 - (hit + SMOOTH) / (union + SMOOTH))
    return np.mean(losses)


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2)])
def test_losses_of_regions_are_means_over_the_classes_present(present):
    scores, labels, border = make()
    if 1 not in present:
        labels[labels == 1] = 255
    probability, truth = pick(scores, labels)
    weights = 1 + border.numpy()[labels.numpy() != 255]
    for text, prices in {"dice": (0.5, 0.5), "iou": (1, 1), "tversky:0.2:0.9": (0.2, 0.9)}.items():
        expected = overlap_plainly(probability, truth, weights, present, *prices)
        assert float(loss_of(text)(scores, labels, border)) == pytest.approx(expected, rel=1e-5)


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a_perfect_prediction_costs_nothing(name):
    _, labels, border = make()
    scores = 100.0 * functional.one_hot(labels.long() % 255, 3).movedim(-1, 1)
    assert float(loss_of(name)(scores, labels, border)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ignored_pixels_have_no_gradient_at_all(name, dtype):
    scores, labels, border = make()
    scores = scores.to(dtype).requires_grad_()
    loss = loss_of(name, (0.5, 2.0, 4.0), smoothing=0.1)(scores, labels, border)
    assert loss.dtype == torch.float32
    loss.backward()
    ignored = (labels == 255)[:, None].expand_as(scores)
    assert (scores.grad[ignored] == 0).all()
    assert (scores.grad[~ignored] != 0).any()


@pytest.mark.parametrize("name", EVERY)
def test_ignored_pixels_do_not_change_the_loss(name):
    scores, labels, border = make()
    ignored = labels == 255
    others = torch.where(ignored[:, None], torch.tensor([50.0, -9, 3])[:, None, None], scores)
    loss = loss_of(name, (0.5, 2.0, 4.0), smoothing=0.1)
    expected = loss(scores, labels, border)
    assert loss(others, labels, torch.where(ignored, 77.0, border)) == expected


@pytest.mark.parametrize("name", EVERY)
def test_all_ignored_is_zero_with_zero_gradient(name):
    scores, labels, border = make()
    scores.requires_grad_()
    loss = loss_of(name, smoothing=0.1)(scores, torch.full_like(labels, 255), border)
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()


@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_those_of_finite_differences(name):
    scores, labels, border = make(shape=(1, 3, 3))
    loss = Loss(parse_loss(name), torch.tensor([0.5, 2.0, 4.0]).double(), 0.1)
    scores = scores.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, border.double()), scores)


@pytest.mark.parametrize("name", EVERY)
def test_losses_and_gradients_of_certain_scores_are_finite(name):
    labels = make()[1]
    for label in (0, 2):
        scores = torch.zeros(2, 3, 6, 5)
        scores[:, label] = 200.0
        scores.requires_grad_()
        loss = loss_of(name)(scores, labels)
        loss.backward()
        assert loss.isfinite()
        assert scores.grad.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_memory_does_not_matter(name):
    scores, labels, border = make()
    expected = float(loss_of(name)(scores, labels, border))
    last = scores.to(memory_format=torch.channels_last)
    assert float(loss_of(name)(last, labels, border)) == pytest.approx(expected, rel=1e-6)


# --- other implementations ------------------------------------------------------------------------


def whole(seed):
    """Scores and labels without 255, every class present."""
    scores, labels, _ = make(seed, shape=(2, 16, 16))
    return scores, labels % 255 % 3


def test_losses_are_those_of_segmentation_models_pytorch(monkeypatch):
    smp = pytest.importorskip("segmentation_models_pytorch")
    monkeypatch.setattr("geounet.training.loss.losses.SMOOTH", 0.0)
    scores, labels = whole(1)
    known = labels.long()
    theirs = {
        "dice": smp.losses.DiceLoss("multiclass"),
        "iou": smp.losses.JaccardLoss("multiclass"),
        "tversky:0.2:0.7": smp.losses.TverskyLoss("multiclass", alpha=0.2, beta=0.7),
        "lovasz": smp.losses.LovaszLoss("multiclass"),
    }
    for text, loss in theirs.items():
        found = float(loss_of(text)(scores, labels))
        assert found == pytest.approx(float(loss(scores, known)), rel=1e-5), text
    sparse = labels.clone()
    sparse[:, :5] = 255
    lovasz = smp.losses.LovaszLoss("multiclass", ignore_index=255)
    found = float(loss_of("lovasz")(scores, sparse))
    assert found == pytest.approx(float(lovasz(scores, sparse.long())), rel=1e-5)


def test_losses_are_those_of_monai():
    monai = pytest.importorskip("monai.losses")
    scores, labels = whole(2)
    known = labels.long()[:, None]
    shared = {"to_onehot_y": True, "softmax": True, "batch": True}
    dice = monai.DiceLoss(**shared, smooth_nr=2 * SMOOTH, smooth_dr=2 * SMOOTH)
    tversky = monai.TverskyLoss(**shared, smooth_nr=SMOOTH, smooth_dr=SMOOTH, alpha=0.2, beta=0.7)
    focal = monai.FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0)
    for text, loss, times in (
        ("dice", dice, 1),
        ("tversky:0.2:0.7", tversky, 1),
        ("focal", focal, 3),
    ):
        # theirs is a mean over pixels and classes
        found, expected = loss_of(text)(scores, labels), times * loss(scores, known)
        assert float(found) == pytest.approx(float(expected), rel=1e-5), text


# --- class weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["none", "inverse", "effective"])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.399, 0.001), (0.7, 0.0, 0.3)])
def test_class_weights_are_1_on_average(method, shares):
    assert np.dot(shares, weigh_classes(shares, method)) == pytest.approx(1)


def test_without_weighting_all_classes_count_alike():
    assert weigh_classes((0.7, 0.0, 0.3), "none").tolist() == [1, 1, 1]


def test_inverse_weights_make_classes_equal():
    weights = weigh_classes((0.75, 0.2, 0.05), "inverse")
    np.testing.assert_allclose(weights * (0.75, 0.2, 0.05), 1 / 3)


def test_effective_weights_are_those_of_the_paper():
    """(1 - b) / (1 - b^n) of Cui et al., equation 2, with as many prototypes as said."""
    shares = np.array([0.75, 0.2, 0.0499, 0.0001])
    beta = 1 - 1 / (PROTOTYPES * 1e6)
    expected = (1 - beta) / (1 - beta ** (1e6 * shares))
    found = weigh_classes(tuple(shares), "effective")
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-4)


@pytest.mark.parametrize("method", ["inverse", "effective"])
def test_classes_without_pixels_weigh_as_the_rarest(method):
    weights = weigh_classes((0.7, 0.0, 0.3), method)
    assert weights[1] == weights[2] > weights[0]
