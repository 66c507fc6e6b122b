"""The U-Net against the figures of the paper, and its geometry against the gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geounet.models import ResUNet, UNet, build_network, to_inference_form
from geounet.models.geometry import OffLatticeError, Span, find_geometry, legal_sizes
from geounet.models.networks.resunet import MergingConv


def test_paper_sizes_and_parameters():
    network = UNet(bands=1, classes=2, width=64, depth=4)
    assert sum(p.numel() for p in network.parameters()) == 31_030_658  # "31.0 M"
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_paper_channels_and_map_sizes():
    """Figure 1: every feature map on the way down and up."""
    network = UNet(bands=1, classes=2)
    seen = []
    for level in [*network.down, *network.merge]:
        level.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:3])))
    with torch.inference_mode():
        network(torch.zeros(1, 1, 572, 572))
    assert seen == [
        (64, 568), (128, 280), (256, 136), (512, 64), (1024, 28),
        (512, 52), (256, 100), (128, 196), (64, 388),
    ]  # fmt: skip


def test_convolutions_only_at_figure_1():
    network = UNet(bands=1, classes=2)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    transposed = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(convolutions) + len(transposed) == 23  # "In total the network has 23 ... layers"
    assert all(m.padding == (0, 0) for m in convolutions)


@pytest.mark.parametrize(("depth", "margin"), [(0, 2), (1, 8), (2, 20), (3, 44), (4, 92), (5, 188)])
def test_margin_and_stride_from_layers(depth, margin):
    geometry = UNet(1, 2, width=2, depth=depth).geometry
    assert (geometry.margin, geometry.stride) == (margin, 2**depth)
    assert 0 <= geometry.spare < max(1, geometry.stride)


def test_legal_sizes_of_the_paper():
    network = UNet(1, 2, width=2)
    sizes = legal_sizes(network.trace, network.geometry, 700)
    assert 572 in sizes
    assert {n % 16 for n in sizes} == {12}


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_margin_is_the_support_of_the_gradient(depth):
    """What one lattice cell of output depends on: nothing beyond the read margin, and the first
    and last pixel that are computed use the first and last pixel that is read."""
    network, image, output = _transparent_output(depth)
    geometry = network.geometry
    assert output.shape[-1] == image.shape[-1] - 2 * geometry.margin
    assert _support(output[..., 0, 0], image)[0] == 0
    assert _support(output[..., -1, -1], image)[1] == image.shape[-1] - 1
    spare = slice(geometry.spare, output.shape[-1] - geometry.spare)
    first, last = _support(output[..., spare, spare].sum(), image)
    needed_before, needed_after = first, image.shape[-1] - 1 - last
    assert 0 <= needed_before < geometry.stride
    assert 0 <= needed_after < geometry.stride


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_read_margin_less_is_not_enough(depth):
    """The read margin is minimal: without the outermost lattice cell of context, the labels of
    the write window could not be computed."""
    network, _, _ = _transparent_output(depth)
    geometry = network.geometry
    less = geometry.read_margin - geometry.stride
    output = network.trace(Span(-less, geometry.stride * 4 + 2 * less))
    assert output.first > 0 or output.end < geometry.stride * 4


def test_padded_and_unpadded_agree_where_padding_does_not_reach():
    """Reads that start `read_margin` before a multiple of the stride see the padded network's
    lattice: same pooling windows, same values."""
    torch.manual_seed(1)
    network = UNet(3, 4, width=6, depth=4, padding="same", norm="batch").eval()
    _randomise_norms(network)
    geometry = network.geometry
    image = torch.randn(1, 3, 512, 512)
    reach = geometry.read_margin
    with torch.inference_mode():
        padded = network(image)[..., 192:256, 208:304]
        unpadded = to_inference_form(network)(image[..., 192 - reach : 256 + reach,
                                                    208 - reach : 304 + reach])  # fmt: skip
    spare = geometry.spare
    torch.testing.assert_close(
        unpadded[..., spare:-spare, spare:-spare], padded, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("blocks", [(1, 1, 1, 1), (2, 1, 3, 1)])
def test_resunet_padded_and_unpadded_agree(blocks):
    """Strided convolutions, padded pooling, shortcuts and nearest upsampling on one lattice."""
    torch.manual_seed(2)
    network = ResUNet(3, 4, width=8, blocks=blocks).eval()
    _randomise_norms(network)
    geometry = network.geometry
    reach, origin = geometry.read_margin, -(-geometry.read_margin // 32) * 32 + 32
    image = torch.randn(1, 3, 2 * origin + 96, 2 * origin + 160)
    rows, cols = slice(origin, origin + 64), slice(origin + 32, origin + 160)
    with torch.inference_mode():
        padded = network(image)[..., rows, cols]
        unpadded = to_inference_form(network)(
            image[
                ..., rows.start - reach : rows.stop + reach, cols.start - reach : cols.stop + reach
            ]
        )
    spare = geometry.spare
    torch.testing.assert_close(
        unpadded[..., spare : spare + 64, spare : spare + 128], padded, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("architecture", ["lightunet", "fcn32s", "fcn16s", "fcn8s"])
def test_others_padded_and_unpadded_agree(architecture):
    """Also transposed convolutions that overlap, and scores added at several resolutions."""
    torch.manual_seed(3)
    arguments = {"padding": "same", "norm": "batch"} if architecture == "lightunet" else {}
    network = build_network(architecture, 3, 4, {"width": 6, **arguments}).eval().double()
    _randomise_norms(network)
    for score in getattr(network, "scores", ()):
        nn.init.normal_(score.weight)
    geometry = network.geometry
    reach, origin = geometry.read_margin, -(-geometry.read_margin // 32) * 32 + 32
    image = torch.randn(1, 3, 2 * origin + 96, 2 * origin + 160)
    rows, cols = slice(origin, origin + 64), slice(origin + 32, origin + 160)
    read = image[
        ..., rows.start - reach : rows.stop + reach, cols.start - reach : cols.stop + reach
    ]
    with torch.inference_mode():
        padded = network(image.double())[..., rows, cols]
        unpadded = to_inference_form(network)(read.double())
    spare = geometry.spare
    unpadded = unpadded[..., spare : spare + 64, spare : spare + 128]
    torch.testing.assert_close(unpadded, padded, rtol=1e-9, atol=1e-9)
    assert padded.std() > 0


def test_fcn_begins_as_bilinear_interpolation():
    """Against torch's own interpolation of the scores."""
    up = build_network("fcn8s", 1, 3, {"width": 2}).last
    scores = torch.randn(1, 3, 9, 7)
    with torch.inference_mode():
        expected = nn.functional.interpolate(scores, scale_factor=8, mode="bilinear")
        torch.testing.assert_close(up(scores)[..., 8:-8, 8:-8], expected[..., 8:-8, 8:-8])


def test_fcn_scores_begin_equal():
    network = build_network("fcn8s", 2, 3, {"width": 2})
    assert network(torch.randn(2, 2, 64, 96)).abs().max() == 0


def test_separable_convolutions_cost_an_eighth():
    sizes = [
        sum(p.numel() for p in build_network(name, 3, 2, {"width": 32}).parameters())
        for name in ("unet", "lightunet")
    ]
    assert 5 < sizes[0] / sizes[1] < 10


def test_deep_resunets_can_predict():
    form = to_inference_form(ResUNet(1, 2, width=4, blocks=(3, 4, 23, 3)))
    assert min(form.leads) > 0


def test_narrow_resunets_learn():
    """torch has crashed in strided 1x1 convolutions of few channels, channels last."""
    network = ResUNet(4, 5, width=4).to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 128, 128).to(memory_format=torch.channels_last)
    for _ in range(3):
        network(x).square().mean().backward()


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("padding", [1, 0])
def test_maps_are_merged_as_if_they_were_enlarged(padding, is_frozen):
    torch.manual_seed(6)
    merging = MergingConv(3, 2, 4)
    x, skip = torch.randn(2, 3, 5, 7), torch.randn(2, 2, 10, 14)
    enlarged = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
    expected = F.conv2d(enlarged, merging.weight, padding=padding)
    merging.padding = (padding, padding)
    if is_frozen:
        merging.freeze()
    torch.testing.assert_close(merging((x, skip)), expected, rtol=1e-5, atol=1e-5)
    assert list(merging.state_dict()) == ["weight"]


def test_weights_of_merged_maps_learn_as_if_they_were_enlarged():
    torch.manual_seed(7)
    merging = MergingConv(3, 2, 4).double()
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    skip = torch.randn(2, 2, 10, 14, dtype=torch.float64, requires_grad=True)
    wanted = (merging.weight, x, skip)
    enlarged = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
    expected = torch.autograd.grad(
        F.conv2d(enlarged, merging.weight, padding=1).square().sum(), wanted
    )
    found = torch.autograd.grad(merging((x, skip)).square().sum(), wanted)
    torch.testing.assert_close(found, expected)


def test_resunet_margin_grows_with_the_blocks():
    margins = [ResUNet(1, 2, width=4, blocks=b).geometry.margin for b in [(1,) * 4, (3, 4, 6, 3)]]
    assert margins == [160, 512]


def test_inference_form_leaves_the_network_alone():
    network = UNet(1, 2, width=2, depth=1, padding="same", norm="batch")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    form = to_inference_form(network)
    assert network.training
    assert not any(isinstance(m, nn.BatchNorm2d) for m in form.modules())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_span_of_a_strided_convolution():
    """A 7x7 convolution with stride 2 and padding 3 reads cells 2i-3 ... 2i+3."""
    assert Span(-5, 20).convolve(7, stride=2, padding=3) == Span(-1, 7)
    with pytest.raises(OffLatticeError):
        Span(-4, 20).convolve(7, stride=2, padding=3)


def test_geometry_of_a_foreign_stack():
    """A strided stem and a nearest-neighbour decoder have a lattice too."""
    geometry = find_geometry(lambda s: s.convolve(7, 2).convolve(3).upsample().convolve(3), 2)
    assert geometry.stride == 2
    span = Span(-geometry.read_margin, 2 + 2 * geometry.read_margin)
    output = span.convolve(7, 2).convolve(3).upsample().convolve(3)
    assert output.first <= 0 and output.end >= 2


def _transparent_output(depth):
    torch.manual_seed(0)
    network = UNet(1, 2, width=3, depth=depth).double()
    _make_transparent(network)
    geometry = network.geometry
    side = 3 * geometry.stride + 2 * geometry.read_margin
    image = torch.randn(1, 1, side, side, dtype=torch.double).abs_().requires_grad_()
    return network, image, network(image)


def _support(output, image):
    """First and last row of the image with a gradient."""
    (gradient,) = torch.autograd.grad(output.sum(), image, retain_graph=True)
    rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


def _make_transparent(network):
    """Positive weights: no ReLU is dead, no gradient cancels."""
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.01)


def _randomise_norms(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)


def test_resunet_scores_begin_apart():
    """The demo's water, 2 % of the pixels, stayed unseen for 6 epochs when they began near 0."""
    torch.manual_seed(4)
    scores = ResUNet(3, 5, width=32)(torch.randn(2, 3, 128, 128))
    assert scores.std() > 0.3
