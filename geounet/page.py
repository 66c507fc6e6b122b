"""A page that needs no other file, on paper as on a phone: HTML, tables, figures, pictures.

Nothing in it asks the network for anything, which the page forbids itself, too.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load: nothing but what is in the page."""

LUMINANCE = (0.13, 0.30)
"""Relative luminances (WCAG 2) with a contrast of 3 to white and to the dark background."""

CSS_DPI = 96
"""Pixels of a page in an inch of a figure."""

LEAST = 0.72
"""To this share of their size figures shrink on narrow screens; then they scroll."""

QUALITY = 85
"""Of photographs, as JPEG."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2026; --soft: #56606a; --line: #d5dade; --back: #fff;
  --card: #f4f6f8; --accent: #0b5fa5; --good: #0f7048; --bad: #b3261e }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #a3adb6; --line: #3a424a; --back: #14171a; --card: #1e2328;
    --accent: #7db9ee; --good: #6fcf9f; --bad: #ff9c94 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--back); overflow-wrap: break-word }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); break-after: avoid }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; break-after: avoid }
p { margin: .5rem 0; max-width: 46rem }
a { color: var(--accent) }
.soft, figcaption, caption { color: var(--soft) }
.lead { font-size: 1.06rem }
.good { color: var(--good) } .bad { color: var(--bad) } .good, .bad { font-weight: 600 }
nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: 1rem 0 0; font-size: .93rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .6rem;
  margin: 1.1rem 0 }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .55rem .8rem; break-inside: avoid }
.tile b { display: block; font-size: 1.55rem; line-height: 1.25;
  font-variant-numeric: tabular-nums }
.tile span { display: block; color: var(--soft); font-size: .85rem }
.scroll { overflow-x: auto; margin: .5rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem }
td, th { padding: .32rem .9rem .32rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line) }
thead th { color: var(--soft); font-weight: 600; font-size: .92em; vertical-align: bottom }
tbody th { font-weight: 500 }
th:first-child { position: sticky; left: 0; background: var(--back); min-width: 7.8rem;
  max-width: 17rem; overflow-wrap: anywhere }
.number { text-align: right } td.number { white-space: nowrap } thead .number { max-width: 11rem }
.range { display: block; color: var(--soft); font-size: .84em }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .45em; border-radius: 2px;
  border: 1px solid #8888; vertical-align: -.06em; print-color-adjust: exact;
  -webkit-print-color-adjust: exact }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .5rem 0; font-size: .9rem }
figure { margin: .8rem 0; break-inside: avoid }
figcaption { font-size: .88rem; margin-top: .3rem }
img { max-width: 100%; height: auto; display: block }
.paper { background: #fff; padding: .4rem; border-radius: .3rem }
.crisp { image-rendering: pixelated }
figure svg { display: block; width: 100%; height: auto; fill: currentColor }
.tables { display: flex; flex-wrap: wrap; gap: 0 3.5rem } .tables > * { max-width: 100% }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 0 1.6rem; align-items: start }
.row { display: grid; gap: .5rem; margin-top: .35rem;
  grid-template-columns: repeat(auto-fit, minmax(min(10rem, 45%), 1fr)) }
.three { grid-template-columns: repeat(3, minmax(0, 1fr)) }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
.wide { grid-template-columns: minmax(0, 1fr) }
.row img { width: 100%; border: 1px solid var(--line) }
.row span { font-size: .82rem; color: var(--soft) }
ul { padding-left: 1.2rem; margin: .5rem 0 } li { margin: .2rem 0 }
details { margin: .6rem 0 } summary { cursor: pointer; color: var(--accent) }
@media (max-width: 30rem) { body { padding: 1rem .8rem 3rem } h1 { font-size: 1.35rem }
  .tile b { font-size: 1.3rem } th:first-child { max-width: 9.5rem }
  td, th { padding-right: .7rem } }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt } nav { display: none }
  .scroll { overflow: visible } figure svg { min-width: 0 !important }
  table { font-size: .8em } tr { break-inside: avoid }
  thead { display: table-header-group } th:first-child { position: static; min-width: 5.5rem }
  thead .number { overflow-wrap: anywhere; max-width: none }
  td, th { padding-right: .55rem } .row { grid-auto-flow: column; grid-template-columns: none;
  grid-auto-columns: minmax(0, 1fr) } .wide { grid-auto-flow: row }
  details:not([open]) { display: none } a { color: inherit; text-decoration: none } }
@page { margin: 14mm }
"""


class Markup(str):
    """HTML that stands in the page as it is; all other text is escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Panel:
    """A picture among others.

    Attributes:
        name: what it shows.
        picture: its pixels, (H, W, 3).
        is_photo: whether it need not be kept exactly.
    """

    name: str
    picture: NDArray[np.uint8]
    is_photo: bool = False


def write_page(title: str, body: Markup) -> str:
    """The page, as HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def write_sections(sections: Iterable[tuple[str, Markup]], *, is_linked: bool = True) -> Markup:
    """Titles with what is below each, those without anything left out; before them links."""
    shown = [(title, content) for title, content in sections if content]
    names = [re.sub(r"\W+", "-", title.lower()).strip("-") for title, _ in shown]
    links = join(
        tag("a", title, href=f"#{name}") for (title, _), name in zip(shown, names, strict=True)
    )
    parts = [
        Markup(f'<section id="{name}">{tag("h2", title)}\n{content}</section>')
        for (title, content), name in zip(shown, names, strict=True)
    ]
    return join([tag("nav", links) if is_linked else Markup(), *parts], "\n")


def to_markup(text: str) -> Markup:
    """Markup as it is, other text escaped."""
    return text if isinstance(text, Markup) else Markup(escape(text))


def join(parts: Iterable[str], between: str = "") -> Markup:
    """All of it, one after the other."""
    return Markup(between.join(map(to_markup, parts)))


def tag(name: str, content: str = "", kind: str = "", **attributes: str) -> Markup:
    """An element, of a class if `kind` says so."""
    pairs = {"class": kind, **attributes} if kind else attributes
    inside = "".join(f' {key}="{escape(value)}"' for key, value in pairs.items())
    return Markup(f"<{name}{inside}>{to_markup(content)}</{name}>")


def bullets(lines: Iterable[str]) -> Markup:
    """A list; nothing of nothing."""
    items = join(tag("li", line) for line in lines)
    return tag("ul", items) if items else Markup()


def fold(summary: str, content: Markup) -> Markup:
    """Content that shows when asked for."""
    return tag("details", join([tag("summary", summary), content])) if content else Markup()


def swatch(colour: str, name: str) -> Markup:
    """A name with its colour before it."""
    return join([tag("span", "", "swatch", style=f"background:{colour}"), name])


def tabulate(
    rows: Iterable[Sequence[str]], head: Sequence[str] = (), *, caption: str = "table"
) -> Markup:
    """A table whose first column names the rows; it scrolls by itself where it is too wide.

    Rows of more than two cells are numbers from the second on.
    """
    lines = [_write_row(row) for row in rows]
    if not lines:
        return Markup()
    top = tag("thead", _write_row(head, is_head=True)) if head else Markup()
    table = tag("table", join([top, tag("tbody", join(lines))]))
    # a region that can be scrolled by keyboard needs a name and a place in the order
    return tag("div", table, "scroll", tabindex="0", role="region", **{"aria-label": caption})


def embed_figure(figure: Figure, text: str, caption: str = "") -> Markup:
    """A figure as vectors, whose black is the page's ink; `text` says what it shows."""
    from matplotlib import rc_context  # takes a second

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "geounet"}):  # the same figure is the same text
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    drawing = svg[svg.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", drawing)
    drawing = drawing.replace("xlink:href", "href").replace("#000000", "currentColor")
    prefix = f"f{zlib.crc32(drawing.encode()):08x}-"  # names must be unique in the page
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", drawing)
    width = round(figure.get_figwidth() * CSS_DPI)
    limits = f"max-width:{width}px;min-width:{width * LEAST:.0f}px"  # else words cannot be read
    drawing = drawing.replace(
        "<svg", f'<svg role="img" aria-label="{escape(text)}" style="{limits}"', 1
    )
    scrolled = tag("div", Markup(drawing), "scroll", tabindex="0", role="region")
    return _frame(scrolled, caption)


def embed_paper(figure: Figure, text: str, caption: str = "") -> Markup:
    """A figure with pictures in it as PNG, on white also where the page is dark."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return _frame(_write_image(png.getvalue(), "png", text, "paper"), caption)


def embed_panels(panels: Sequence[Panel], caption: str, kind: str = "") -> Markup:
    """Pictures side by side; kind is "pair" for large ones, "wide" for one below the other."""
    shown = join(
        tag("div", join([_embed_panel(panel, caption), tag("span", panel.name)]))
        for panel in panels
    )
    kind = kind or ("three" if len(panels) == 3 else "")
    row = tag("div", shown, f"row {kind}".rstrip())
    return tag("figure", join([tag("figcaption", caption), row]))


def encode_picture(picture: NDArray[np.uint8], kind: str = "png") -> bytes:
    """A picture (H, W, 3) as PNG or JPEG."""
    from matplotlib.image import imsave  # takes a second

    file = io.BytesIO()
    # colours as fine as shades: what is drawn on a photo keeps its edges
    options = {"quality": QUALITY, "subsampling": 0} if kind == "jpeg" else {"optimize": True}
    imsave(file, picture, format=kind, pil_kwargs=options)
    return file.getvalue()


def shade_line(rgb: tuple[int, int, int]) -> tuple[float, ...]:
    """The colour, 0-1, as dark or as light as a line has to be on white and on black alike."""
    linear = [_linearise(value / 255) for value in rgb]
    luminance = _find_luminance(linear)
    low, high = LUMINANCE
    if luminance > high:
        linear = [value * high / luminance for value in linear]
    elif luminance < low:
        white = (low - luminance) / (1 - luminance)
        linear = [value + (1 - value) * white for value in linear]
    return tuple(min(1.0, _compress(value)) for value in linear)


def _linearise(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _compress(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _find_luminance(linear: Sequence[float]) -> float:
    return sum(part * value for part, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _write_row(cells: Sequence[str], *, is_head: bool = False) -> Markup:
    first, *others = cells
    name, kind = "th" if is_head else "td", "number" if len(cells) > 2 else ""
    scope = {"scope": "col"} if is_head else {}
    cells = [tag(name, cell, kind, **scope) for cell in others]
    return tag("tr", join([tag("th", first, scope="col" if is_head else "row"), *cells]))


def _embed_panel(panel: Panel, caption: str) -> Markup:
    kind = "jpeg" if panel.is_photo else "png"
    height, width = panel.picture.shape[:2]
    data, text = encode_picture(panel.picture, kind), f"{panel.name}: {caption}"
    return _write_image(data, kind, text, "crisp", width=str(width), height=str(height))


def _write_image(data: bytes, form: str, text: str, kind: str, **attributes: str) -> Markup:
    source = f"data:image/{form};base64,{base64.b64encode(data).decode('ascii')}"
    image = str(tag("img", "", kind, alt=text, **attributes, src=source))
    return Markup(image.removesuffix("</img>"))


def _frame(content: Markup, caption: str) -> Markup:
    return tag("figure", join([content, tag("figcaption", caption) if caption else Markup()]))
