"""Augmentation moves image and labels alike, and is drawn from the seed."""

import pytest
import torch

from geounet.training.augmentation import AUGMENTATIONS, orient, turn, vary_tones


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_eight_orientations_are_all_different():
    chip = torch.arange(9).reshape(3, 3)
    found = {tuple(orient(chip, k).flatten().tolist()) for k in range(8)}
    assert len(found) == 8


def test_image_and_labels_turn_alike_and_every_orientation_occurs():
    labels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4).repeat(64, 1, 1)
    image = torch.stack([labels.float(), -labels.float()], dim=1)
    turned, turned_labels = turn((image, labels), generator())
    assert (turned[:, 0] == turned_labels).all()
    assert (turned[:, 1] == -turned[:, 0]).all()
    assert turned.is_contiguous(memory_format=torch.channels_last)
    assert len({tuple(t.flatten().tolist()) for t in turned_labels}) == 8


def test_tones_are_a_line_for_each_chip_and_band():
    image = torch.randn(3, 2, 8, 8, generator=generator(1))
    varied = vary_tones(image, generator())
    for before, after in zip(image.flatten(0, 1), varied.flatten(0, 1), strict=True):
        factor = (after.max() - after.min()) / (before.max() - before.min())
        shift = after.mean() - factor * before.mean()
        torch.testing.assert_close(after, factor * before + shift, atol=1e-5, rtol=1e-5)
        assert 0.3 < factor < 3
    assert len(set((varied - image)[:, :, 0, 0].flatten().tolist())) == 6


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_same_seed_gives_the_same_chips(name):
    image, labels = torch.randn(4, 3, 8, 8), torch.zeros(4, 8, 8, dtype=torch.uint8)
    valid = torch.ones(4, 8, 8, dtype=torch.bool)
    first = AUGMENTATIONS[name](image, valid, labels, generator())
    second = AUGMENTATIONS[name](image, valid, labels, generator())
    assert (first[0] == second[0]).all()
    if name == "none":
        assert (first[0] == image).all()
    else:
        assert (first[0] != AUGMENTATIONS[name](image, valid, labels, generator(1))[0]).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_is_not_valid_stays_zero_and_the_rest_is_as_without_it(name):
    """Labels here say where it is valid, so that they tell where that went."""
    valid = torch.rand(6, 8, 8, generator=generator(2)) > 0.3
    image = torch.randn(6, 3, 8, 8, generator=generator(3)).to(memory_format=torch.channels_last)
    holed = image.masked_fill(~valid[:, None], 0.0)
    varied, labels = AUGMENTATIONS[name](holed, valid, valid.to(torch.uint8), generator())
    moved = (labels == 1)[:, None].expand_as(varied)
    assert (varied[~moved] == 0).all()
    whole, _ = AUGMENTATIONS[name](image, torch.ones_like(valid), labels, generator())
    assert (varied[moved] == whole[moved]).all()
