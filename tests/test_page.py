"""The frame of the pages: what comes from files is text, and colours show on white and black."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from geounet.page import (
    Markup,
    Panel,
    embed_figure,
    embed_panels,
    encode_picture,
    join,
    shade_line,
    swatch,
    tabulate,
    tag,
    to_markup,
    write_page,
    write_sections,
)

NASTY = "<script>alert('1')</script>&\"x"


def luminance(rgb):
    """WCAG 2.1, relative luminance."""
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one, other):
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@settings(deadline=None, max_examples=200)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_lines_show_on_white_and_on_the_dark_background(rgb):
    line = shade_line(rgb)
    assert contrast(line, (1, 1, 1)) > 2.99
    assert contrast(line, (0x14 / 255, 0x17 / 255, 0x1A / 255)) > 2.99


def test_colours_that_show_anyway_stay():
    assert shade_line((255, 0, 0)) == pytest.approx((1, 0, 0))


def test_text_is_escaped_wherever_it_stands():
    parts = [
        to_markup(NASTY),
        tag("p", NASTY, title=NASTY),
        tabulate([[NASTY, NASTY, NASTY]], [NASTY] * 3, caption=NASTY),
        swatch("#ff0000", NASTY),
        embed_panels([Panel(NASTY, np.zeros((2, 2, 3), np.uint8))], NASTY),
        write_sections([(NASTY, Markup("x"))]),
    ]
    page = write_page(NASTY, join(parts))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 18
    assert not re.search(r'="[^"]*"x', page)


def test_markup_stays_and_is_not_escaped_twice():
    assert tag("p", join([tag("b", "a & b"), " < c"])) == "<p><b>a &amp; b</b> &lt; c</p>"


def test_sections_without_content_are_left_out():
    text = write_sections([("One & all", Markup("x")), ("Two", Markup())])
    assert 'href="#one-all"' in text
    assert 'id="one-all"' in text
    assert "Two" not in text


def test_pictures_keep_their_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(encode_picture(picture))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), picture)
    with Image.open(io.BytesIO(encode_picture(picture, "jpeg"))) as image:
        assert image.size == (5, 7)


def test_a_figure_is_ink_of_the_page_and_its_names_are_its_own():
    def draw(title):
        figure = Figure(figsize=(2, 1))
        axes = figure.subplots()
        axes.plot([0, 1], color="black", marker="o")
        axes.set_title(title)
        return embed_figure(figure, "a < b")

    one, other = draw("one"), draw("other")
    assert one == draw("one")
    assert "#000000" not in one
    assert "currentColor" in one
    assert 'aria-label="a &lt; b"' in one
    ids, others = (set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, other))
    assert ids
    assert not ids & others
    assert set(re.findall(r'(?:href="#|url\(#)([\w-]+)', one)) <= ids
    ElementTree.fromstring(one)  # tags are closed
