"""Augmentation moves all that lies on a pixel alike, in units that suit any image, by the seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rasters import write_raster
from scipy import ndimage

from geounet.errors import UsageError
from geounet.models import Band
from geounet.raster import hatch
from geounet.training import TrainOptions, show_augmentation, train
from geounet.training.augment import contact_sheet
from geounet.training.augment.augment_options import PRESETS, AugmentOptions, choose_augmentation
from geounet.training.augment.augmentation import Pixels, augment
from geounet.training.augment.deformation import (
    ORIENTATIONS,
    draw_positions,
    find_nearest,
    interpolate,
    spread,
)
from geounet.training.augment.radiometry import add_noise, bend, blur, choose_bands, vary_tones
from geounet.training.learning import learner
from geounet.training.learning.normalisation import Normaliser
from geounet.training.learning.seeds import Dice
from geounet.training.loss.loss_options import LossOptions
from geounet.training.loss.losses import make_loss
from geounet.training.reporting.figures import draw_versions

CPU = torch.device("cpu")
WILD = AugmentOptions(turn=True, rotate_deg=180, scale=1.4, shift_px=9, elastic_px=5)


@pytest.fixture
def all_warped(monkeypatch):
    """No chip stays on its pixels."""
    monkeypatch.setattr("geounet.training.augment.deformation.WARPED", 1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dice(seed=0):
    return Dice(generator(seed))


def lattice(side):
    """Row and column of each pixel of a square from its centre, (2, side * side)."""
    axis = torch.arange(side) - (side - 1) / 2
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1)


def make_pixels(count=4, side=48, context=0, bands=3, seed=0):
    """Noise, with holes where not valid, and random labels."""
    rng = generator(seed)
    width = side + 2 * context
    valid = torch.rand(count, width, width, generator=rng) > 0.1
    image = torch.randn(count, bands, width, width, generator=rng).masked_fill(~valid[:, None], 0)
    labels = torch.randint(3, (count, side, side), generator=rng, dtype=torch.uint8)
    return Pixels(image, valid, labels)


def make_map(options, chip, count=8, context=0):
    """Chips varied whose image says row and column, and whose labels' pixels have large numbers."""
    side = chip + 2 * options.overscan(chip)
    width = side + 2 * context
    rows, cols = torch.meshgrid(torch.arange(width), torch.arange(width), indexing="ij")
    image = torch.stack([rows, cols]).float().repeat(count, 1, 1, 1)
    numbers = 2**30 + torch.arange(side * side, dtype=torch.int32).reshape(1, side, side)
    pixels = Pixels(
        image,
        torch.ones(count, width, width, dtype=torch.bool),
        torch.zeros(count, side, side, dtype=torch.uint8),
        (numbers.repeat(count, 1, 1), torch.rand(count, side, side, generator=generator(9))),
    )
    return pixels, augment(options, chip, pixels, dice())


@pytest.mark.parametrize("side", [7, 8])
def test_the_eight_orientations_are_those_of_rot90(side):
    chip = torch.arange(side * side).reshape(1, side, side)
    turned = []
    for k, matrix in enumerate(ORIENTATIONS):
        positions = (matrix @ lattice(side)).unflatten(1, (side, side))[None]
        turned.append(find_nearest(positions, side).carry(chip, fill=-1))
        expected = (chip.flip(-1) if k >= 4 else chip).rot90(k % 4, dims=(1, 2))
        assert (turned[-1] == expected).all()
    assert len({tuple(t.flatten().tolist()) for t in turned}) == 8


def test_flips_and_turns_alone_move_pixels_without_a_change():
    pixels = make_pixels(count=64, side=4, bands=2, seed=1)
    varied = augment(AugmentOptions(turn=True), 4, pixels, dice())
    found = set()
    for i in range(64):
        candidates = [
            (k, (x.flip(-1) if k >= 4 else x).rot90(k % 4, dims=(-2, -1)))
            for k in range(8)
            for x in [torch.cat([pixels.image[i], pixels.labels[i][None], pixels.valid[i][None]])]
        ]
        whole = torch.cat([varied.image[i], varied.labels[i][None], varied.valid[i][None]])
        found |= {k for k, candidate in candidates if (candidate == whole).all()}
    assert found == set(range(8))


def test_no_augmentation_leaves_chips_untouched():
    pixels = make_pixels()
    varied = augment(PRESETS["none"], 48, pixels, dice())
    assert varied is pixels


def test_what_is_not_moved_is_interpolated_to_itself():
    pixels = make_pixels()
    positions = lattice(48).unflatten(1, (48, 48)).repeat(4, 1, 1, 1)
    torch.testing.assert_close(
        interpolate(pixels.image, positions), pixels.image, atol=1e-4, rtol=0
    )
    assert (find_nearest(positions, 48).carry(pixels.labels, fill=255) == pixels.labels).all()


def test_some_chips_stay_on_their_pixels():
    positions = draw_positions(replace(WILD, turn=False), 200, 9, dice(), CPU)
    on_pixels = (positions == lattice(9).unflatten(1, (9, 9))).flatten(1).all(dim=1)
    assert 0.1 < on_pixels.float().mean() < 0.3


@pytest.mark.parametrize("context", [0, 10])
def test_image_and_all_that_lies_on_it_stay_together(all_warped, context):
    """The interpolated row and column are those of the pixel that was carried, within half one."""
    pixels, varied = make_map(WILD, chip=96, context=context)
    side = pixels.labels.shape[-1]
    numbers, weights = varied.others
    inside = varied.labels == 0
    assert (varied.labels[~inside] == 255).all()
    assert (numbers[~inside] == 0).all()
    index = (numbers.long() - 2**30)[inside]
    centre = slice(context, context + 96)
    chip = torch.arange(8)[:, None, None].expand(8, 96, 96)[inside]
    for axis, carried in enumerate((index // side, index % side)):
        interpolated = varied.image[:, axis, centre, centre][inside] - context
        # torch's bicubic gives lines back to within 0.05 pixels, but for the outermost pixels
        off = (interpolated - carried)[(carried >= 2) & (carried < side - 2)]
        assert off.abs().max() < 0.55
        assert off.mean().abs() < 0.01
    assert (weights[inside] == pixels.others[1].flatten(1)[chip, index]).all()
    assert inside.float().mean() > 0.8


def test_edges_in_image_and_labels_lie_together(all_warped):
    """An image that is its own label, deformed: where it crosses 1/2, labels change."""
    rng = np.random.default_rng(0)
    options = replace(PRESETS["strong"], brightness=0, contrast=0, gamma=0, noise=0, blur_px=0)
    side = 128 + 2 * options.overscan(128)
    noise = ndimage.gaussian_filter(rng.normal(size=(8, side, side)), (0, 8, 8))
    blobs = torch.from_numpy((noise > 0).astype(np.uint8))
    pixels = Pixels(blobs[:, None].float(), torch.ones_like(blobs, dtype=torch.bool), blobs)
    varied = augment(options, 128, pixels, dice())
    inside = (varied.labels != 255).numpy()
    drawn, labels = varied.image[:, 0].numpy() > 0.5, varied.labels.numpy() == 1
    cross = ndimage.generate_binary_structure(2, 1)[None]
    edges = labels & ~ndimage.binary_erosion(labels, cross)
    differs = (drawn != labels) & inside
    assert differs.any()
    assert differs.sum() / (edges & inside).sum() < 0.15  # mean distance of the edges in pixels
    bias = (drawn[inside].sum() - labels[inside].sum()) / (edges & inside).sum()
    assert abs(bias) < 0.02
    distance = ndimage.distance_transform_edt(~edges, sampling=(1000, 1, 1))
    assert distance[differs].max() <= 1.5


def keys_weights(side, count, a=-0.75):
    """Keys' cubic convolution of `count` samples, the outer ones on the outermost pixels."""
    found = np.zeros((side, count))
    for pixel in range(side):
        place = pixel * (count - 1) / (side - 1)
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            t = abs(place - tap)
            near = (a + 2) * t**3 - (a + 3) * t**2 + 1
            far = a * (t**3 - 5 * t**2 + 8 * t - 4)
            weight = near if t <= 1 else far if t < 2 else 0
            found[pixel, min(max(tap, 0), count - 1)] += weight
    return found


def test_elastic_displacements_are_bicubic_between_the_nodes():
    nodes = torch.randn(5, 2, 3, 3, generator=generator(), dtype=torch.float64)
    weights = keys_weights(65, 3)
    expected = np.einsum("ik,nckl,jl->ncij", weights, nodes.numpy(), weights)
    np.testing.assert_allclose(spread(nodes.float(), 65), expected, atol=1e-5)
    np.testing.assert_allclose(expected[..., ::32, ::32], nodes, atol=1e-12)


def test_elastic_displacements_have_the_papers_deviation_at_the_nodes(all_warped):
    options = AugmentOptions(elastic_px=10)
    field = draw_positions(options, 300, 257, dice(), CPU)
    field -= lattice(257).unflatten(1, (257, 257))
    nodes = field[..., ::128, ::128]  # (300, 2, 3, 3)
    assert nodes.std(dim=0).sub(10).abs().max() < 1.5
    assert nodes.mean(dim=0).abs().max() < 2
    flat = nodes.flatten(1).T
    assert torch.corrcoef(flat).fill_diagonal_(0).abs().max() < 0.2
    # smooth: what changes from pixel to pixel is a small part of what changes from node to node
    assert field.diff(dim=-1).abs().max() < 0.8
    assert field.diff(dim=-1).diff(dim=-1).abs().max() < 0.04


def test_elastic_deformation_does_not_fold_small_chips(all_warped):
    positions = draw_positions(AugmentOptions(elastic_px=10), 300, 32, dice(), CPU)
    assert (positions[:, 1].diff(dim=-1) > 0).float().mean() > 0.999


@pytest.mark.parametrize(
    ("options", "reach"),
    [
        (AugmentOptions(rotate_deg=30), 30),
        (AugmentOptions(scale=1.5), 1.5),
        (AugmentOptions(shift_px=7), 7),
    ],
)
def test_amplitudes_are_reached_and_not_exceeded(all_warped, options, reach):
    """Of each chip the matrix and the shift, found again from its positions."""
    positions = draw_positions(options, 400, 11, dice(), CPU).flatten(2)
    base = lattice(11)
    matrix = positions @ torch.linalg.pinv(base)
    shift = positions.mean(dim=2)
    zoom = torch.linalg.det(matrix).sqrt()
    angle = torch.rad2deg(torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0]))
    if options.rotate_deg:
        assert angle.abs().max() == pytest.approx(reach, rel=0.02)
        torch.testing.assert_close(zoom, torch.ones(400))
    if options.scale > 1:
        assert zoom.max() == pytest.approx(reach, rel=0.02)
        assert zoom.min() == pytest.approx(1 / reach, rel=0.02)
        assert zoom.log().mean().abs() < 0.05
    if options.shift_px:
        assert shift.abs().amax(dim=0).tolist() == pytest.approx([reach, reach], rel=0.02)
    else:
        assert shift.abs().max() < 1e-4


def test_what_comes_from_beyond_is_ignored_and_not_valid(all_warped):
    pixels = make_pixels()
    pixels = replace(pixels, valid=torch.ones_like(pixels.valid), image=pixels.image + 5)
    varied = augment(AugmentOptions(shift_px=9), 48, pixels, dice())
    assert not varied.valid.all(dim=(1, 2)).any()
    for valid in varied.valid:  # what is left is a rectangle
        rows, cols = valid.any(dim=1), valid.any(dim=0)
        assert (valid == rows[:, None] & cols[None]).all()
        assert rows.sum() >= 39
    assert ((varied.labels == 255) == ~varied.valid).all()
    assert (varied.image.masked_select(~varied.valid[:, None]) == 0).all()
    assert (varied.image.abs().amin(dim=1)[varied.valid] > 0).all()


def test_overscan_brings_real_pixels_into_nearly_all_chips():
    # a chip that is turned by 45 degrees and shows 1.5 times as much needs more than is read
    for name, most in (("standard", 0.015), ("strong", 0.02)):
        _, varied = make_map(PRESETS[name], chip=128, count=32)
        assert (varied.labels == 255).float().mean() < most
    assert PRESETS["none"].overscan(256) == PRESETS["light"].overscan(256) == 0
    assert PRESETS["strong"].overscan(256) == 64


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_not_valid_goes_along_and_stays_zero(name):
    options = PRESETS[name]
    pixels = make_pixels(side=32 + 2 * options.overscan(32), seed=2)
    pixels = replace(pixels, labels=pixels.valid.to(torch.uint8))
    varied = augment(options, 32, pixels, dice())
    assert varied.image.shape == (4, 3, 32, 32)
    assert ((varied.labels == 1) == varied.valid).all()
    assert (varied.image.masked_select(~varied.valid[:, None]) == 0).all()
    assert (varied.image.abs().amax(dim=1)[varied.valid] > 0).all()
    assert 0.7 < varied.valid.float().mean() < 0.95


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
def test_the_same_seed_gives_the_same_chips_and_another_others(name):
    options = PRESETS[name]
    pixels = make_pixels(side=32 + 2 * options.overscan(32))
    torch.manual_seed(1)
    first = augment(options, 32, pixels, dice())
    torch.manual_seed(2)
    second = augment(options, 32, pixels, dice())
    assert (first.image == second.image).all()
    assert (first.labels == second.labels).all()
    assert (first.image != augment(options, 32, pixels, dice(1)).image).any()


def test_ignored_pixels_have_no_gradient(all_warped):
    options = replace(PRESETS["strong"], shift_px=20)
    varied = augment(options, 32, make_pixels(side=32), dice())  # no overscan: a wide rim
    scores = torch.randn(4, 3, 32, 32, generator=generator(5), requires_grad=True)
    ignored = varied.labels == 255
    assert 0.1 < ignored.float().mean() < 0.8
    loss = make_loss(LossOptions(), (1 / 3,) * 3, scores.device)
    loss(scores, varied.labels).backward()
    assert (scores.grad.abs().sum(dim=1)[ignored] == 0).all()
    assert (scores.grad.abs().sum(dim=1)[~ignored] > 0).all()


def test_tones_are_a_line_for_each_chip_and_band():
    image = torch.randn(3, 2, 8, 8, generator=generator(1))
    varied = vary_tones(image, AugmentOptions(brightness=0.1, contrast=0.1), dice())
    for before, after in zip(image.flatten(0, 1), varied.flatten(0, 1), strict=True):
        factor = (after.max() - after.min()) / (before.max() - before.min())
        shift = after.mean() - factor * before.mean()
        torch.testing.assert_close(after, factor * before + shift, atol=1e-5, rtol=1e-5)
        assert 0.3 < factor < 3
    assert len(set((varied - image)[:, :, 0, 0].flatten().tolist())) == 6


def test_bands_vary_mostly_together():
    image = torch.zeros(3000, 2, 1, 1)
    varied = vary_tones(image, AugmentOptions(brightness=0.5), dice())[..., 0, 0]
    assert varied.std(dim=0).tolist() == pytest.approx([0.52, 0.52], rel=0.05)
    assert torch.corrcoef(varied.T)[0, 1] == pytest.approx(1 / 1.09, abs=0.02)


def test_gamma_keeps_black_and_white_and_the_order():
    x = torch.linspace(-6, 6, 121).reshape(1, 1, 1, 121)
    for exponent in (0.5, 2.0):
        y = bend(x, torch.full((1, 1, 1, 1), exponent))
        assert (y.diff() > 0).all()
        assert (y[x.abs() >= 2.999] == x[x.abs() >= 2.999]).all()
        between = x.abs() < 2.9
        expected = 6 * ((x[between] + 3) / 6) ** exponent - 3
        torch.testing.assert_close(y[between], expected)
    torch.testing.assert_close(bend(x, torch.ones(1, 1, 1, 1)), x)


def test_blur_is_gaussian_of_up_to_so_many_pixels():
    image = torch.zeros(300, 1, 21, 21)
    image[:, 0, 10, 10] = 1
    blurred = blur(image, 1.5, dice())
    offsets = torch.arange(-10, 11) ** 2.0
    variance = (blurred.sum(dim=(1, 2)) * offsets).sum(dim=1)  # along columns
    torch.testing.assert_close(blurred.sum(dim=(1, 2, 3)), torch.ones(300))
    assert variance.sqrt().max() == pytest.approx(1.5, rel=0.05)
    assert variance.sqrt().min() < 0.05
    assert (blurred[variance.argmin()] == image[0]).all()
    widest = int(variance.argmax())
    reference = ndimage.gaussian_filter(image[0, 0].numpy(), 1.5, truncate=5 / 1.5)
    np.testing.assert_allclose(blurred[widest, 0], reference, atol=2e-3)


def test_noise_is_white_and_of_up_to_the_deviation():
    image = torch.ones(200, 3, 16, 16)
    noise = add_noise(image, 0.4, dice()) - image
    deviation = noise.flatten(1).std(dim=1)
    assert deviation.max() == pytest.approx(0.4, rel=0.08)
    assert deviation.mean() == pytest.approx(0.2, rel=0.15)
    assert noise.mean().abs() < 0.005
    assert torch.corrcoef(noise.transpose(0, 1).flatten(1))[0, 1:].abs().max() < 0.02


def test_dropped_bands_leave_one_at_least():
    kept = choose_bands(torch.zeros(2000, 4, 2, 2), 0.5, dice())[..., 0, 0]
    assert kept.sum(dim=1).min() == 1
    assert kept.mean() == pytest.approx(0.5 + 0.5**4 / 4, abs=0.02)
    image = torch.ones(50, 1, 2, 2)
    assert (vary_tones(image, AugmentOptions(band_dropout=0.9), dice()) == 1).all()


def test_the_unit_of_the_values_does_not_matter():
    """8-bit colours and the same as reflectance in 1/10,000 are varied alike."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (4, 3, 48, 48))
    valid = rng.random((4, 48, 48)) > 0.1
    varied = []
    for image, factor in ((colours.astype(np.uint8), 1), ((37 * colours).astype(np.int16), 37)):
        bands = [Band(None, image.dtype.name, 120.0 * factor, 60.0 * factor) for _ in range(3)]
        normalised = Normaliser(bands, CPU)(image, valid)
        pixels = Pixels(normalised, torch.from_numpy(valid), torch.zeros(4, 48, 48).byte())
        varied.append(augment(replace(PRESETS["strong"], shift_px=0), 32, pixels, dice()))
    torch.testing.assert_close(varied[0].image, varied[1].image, atol=1e-4, rtol=0)


def test_presets_can_be_changed_and_wrong_amplitudes_are_refused():
    chosen = choose_augmentation("standard", elastic_px=10, rotate_deg=0, noise=None)
    assert chosen == replace(PRESETS["standard"], elastic_px=10, rotate_deg=0)
    with pytest.raises(UsageError, match=r"--scale is 0.5; give 1 to 4"):
        AugmentOptions(scale=0.5)
    with pytest.raises(UsageError, match=r"--elastic is -1; give 0 or more"):
        AugmentOptions(elastic_px=-1)
    with pytest.raises(UsageError, match=r"--noise is nan"):
        AugmentOptions(noise=float("nan"))
    with pytest.raises(UsageError, match=r"--band-dropout is 1; give 0 to 0.9"):
        AugmentOptions(band_dropout=1)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A small scene with labels of class 3 and 7; eight chips are an epoch."""
    monkeypatch.setattr("geounet.training.options.EPOCH_CHIPS", (8, 8))
    rng = np.random.default_rng(0)
    labels = np.kron(rng.choice([3, 7], (12, 16)), np.ones((8, 8), int)).astype(np.uint8)
    image = (20 * labels + rng.integers(0, 50, labels.shape)).astype(np.uint8)
    image_path = write_raster(tmp_path / "image.tif", image)
    return image_path, write_raster(tmp_path / "labels.tif", labels)


def make_options(augment):
    return TrainOptions(
        architecture="unet", width=4, depth=2, chip=32, batch=4, epochs=2, augment=augment,
        device="cpu", precision="float32",
    )  # fmt: skip


def test_only_what_is_trained_on_is_varied(pair, tmp_path, monkeypatch):
    """Exactly the chips of the steps; validation sees what prediction sees."""
    seen = []

    def spy(options, chip, pixels, dice):
        seen.append(tuple(pixels.labels.shape))
        return augment(options, chip, pixels, dice)

    monkeypatch.setattr(learner, "augment", spy)
    summary = train([pair[0]], [pair[1]], tmp_path / "run", make_options("strong"))
    assert seen == [(4, 48, 48)] * 4
    assert summary.chips == 16
    assert summary.metrics.pixels > 0


def test_the_contact_sheet_shows_chips_with_their_labels(pair, tmp_path, monkeypatch):
    drawn = []

    def spy(chips, classes):
        drawn.extend(chips)
        return draw_versions(chips, classes)

    monkeypatch.setattr(contact_sheet, "draw_versions", spy)
    options = make_options(AugmentOptions(turn=True))
    path = tmp_path / "sheet.png"
    show_augmentation([pair[0]], [pair[1]], path, options)
    with Image.open(path) as picture:
        assert min(picture.size) > 1000
    assert not (tmp_path / "run").exists()
    assert [len(versions) for versions in drawn] == [8, 8, 8]
    for first, *others in drawn:
        assert set(np.unique(first.labels)) - {255} == {3, 7}  # 255 near what is held out
        for other in others:  # as turned: the same pictures, and labels that still lie on them
            assert (np.sort(other.picture, axis=None) == np.sort(first.picture, axis=None)).all()
            bright = other.picture[..., 0][other.labels == 7].mean()
            assert bright > other.picture[..., 0][other.labels == 3].mean() + 50
    with pytest.raises(UsageError, match="exists"):
        show_augmentation([pair[0]], [pair[1]], path, options)
    with pytest.raises(UsageError, match="PNG"):
        show_augmentation([pair[0]], [pair[1]], tmp_path / "sheet.jpg", options)


def test_what_is_hidden_is_hatched_and_the_rest_left():
    picture = np.full((64, 64, 3), 7, np.uint8)
    hidden = np.zeros((64, 64), bool)
    hidden[:20] = True
    hatched = hatch(picture, hidden)
    assert (hatched[20:] == 7).all()
    assert set(np.unique(hatched[:20])) == {130, 235}
    assert len(np.unique(hatched[0, :, 0])) == len(np.unique(hatched[:20, 0, 0])) == 2
