"""How labels are to be understood. Pure: no rasterio, no geopandas."""

from __future__ import annotations

from dataclasses import dataclass

from geounet.errors import UsageError

MAX_GAP = 64
"""Pixels; wider gaps would be no labels."""


@dataclass(frozen=True)  # no slots: the command line reads the defaults
class LabelOptions:
    """How labels are to be understood.

    What a label file holds is written as text here: a number `7`, a colour `#ff0000`, or a text.

    Attributes:
        class_field: column of vector labels that holds the class, as its name or its value; None:
            all polygons are of one class.
        line_width_m: width on the ground that lines are drawn with; None: lines are refused.
        ignore: label values, colours or texts that mean "no label here".
        separate_px: width of the gap of background between touching features of one class, in
            pixels; see `find_gaps`. Rasters have no features: nothing is done to them. None: 0, but
            1 for a training with border weights.
        sparse: what is in no polygon, has the value 0 or is black has no label; it is no class.
        threshold: rasters are masks of two classes: what is at least this is the second. None:
            they hold a class per value or colour (`resolve_legend` sets 128 for masks of 0 to 255).
        mapping: pairs of what the labels hold and the name of the class that it means; none: what
            classes say of themselves, their value, colour and name.
        colours_said: the colours of the classes were said of these labels; otherwise they were
            picked, or are those of a map, and count only where a palette has all of them.
    """

    class_field: str | None = None
    line_width_m: float | None = None
    ignore: int | str | tuple[int | str, ...] | None = None
    separate_px: int | None = None
    sparse: bool = False
    threshold: float | None = None
    mapping: tuple[tuple[str, str], ...] = ()
    colours_said: bool = True

    def __post_init__(self) -> None:
        if self.line_width_m is not None and not 0 < self.line_width_m < float("inf"):
            raise UsageError(f"--line-width is {self.line_width_m} m; give a positive number")
        if not 0 <= (self.separate_px or 0) <= MAX_GAP:
            raise UsageError(f"--separate is {self.separate_px}; give 0 to {MAX_GAP} pixels")
        if self.sparse and self.threshold is not None:
            raise UsageError(
                "--sparse leaves one class of a mask with --threshold; choose one of the two"
            )

    @property
    def ignored(self) -> frozenset[str]:
        """What means "no label here", as text."""
        given = self.ignore if isinstance(self.ignore, tuple) else (self.ignore,)
        return frozenset(str(item) for item in given if item is not None)
