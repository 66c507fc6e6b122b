"""Figures and pictures on their way into the page, and into files beside it if these are wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from geounet.evaluation.report.pictures import put_side_by_side
from geounet.page import Markup, Panel, embed_figure, embed_panels, encode_picture

WIDE = 1.7
"""Pictures of scenes that are wider than high by this are shown one below the other."""


class Sketchbook:
    """Puts figures into a page.

    Attributes:
        files: PNGs by name, of all figures so far; none if they are not kept.
    """

    def __init__(self, *, keeps: bool) -> None:
        """Keep PNGs or not."""
        self.files: dict[str, bytes] = {}
        self._keeps = keeps

    def embed(self, name: str, figure: Figure, text: str, caption: str = "") -> Markup:
        """A figure; `text` says what it shows."""
        if self._keeps:
            png = io.BytesIO()
            figure.savefig(png, format="png")
            self.files[name] = png.getvalue()
        return embed_figure(figure, text, caption)

    def show(
        self, name: str, panels: Sequence[Panel], caption: str, *, is_large: bool = False
    ) -> Markup:
        """Pictures of one size beside one another."""
        if self._keeps:
            pictures = [panel.picture for panel in panels]
            self.files[name] = encode_picture(put_side_by_side(pictures))
        height, width = panels[0].picture.shape[:2]
        kind = "" if not is_large else "wide" if width > WIDE * height else "pair"
        return embed_panels(panels, caption, kind)
