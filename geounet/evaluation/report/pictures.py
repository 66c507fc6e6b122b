"""Pictures of scenes and windows: image, labels, prediction, and errors over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geounet.classes import NODATA, ClassInfo
from geounet.evaluation.jobs import Job
from geounet.evaluation.measures.outcomes import ERRORS, UNCOUNTED, make_table
from geounet.evaluation.reading import Legends, Reading, read_pieces
from geounet.evaluation.report.survey import ONLY_MASK, Overview, WrongWindow
from geounet.page import Panel
from geounet.raster import Scene, Window, hatch, measure_stretch, open_warped, stretch

Picture = NDArray[np.uint8]
"""(H, W, 3)."""

BARE = 226
"""Grey that errors are drawn on without an image."""

DIMMED = (0.62, 70)
"""Contrast and darkest shade of an image under errors."""

STRETCH_PX = 400
"""Longer side of what the shades of a scene are measured from."""

BETTER = ((15, 140, 95), (255, 106, 19))
"""Colours of where only the mask is right, and only the other."""


class Images:
    """The images behind masks, each in the same shades wherever it is shown."""

    def __init__(self, bands: Sequence[int] | None) -> None:
        """To show the first three of these bands, or the first; None: of all but alpha."""
        self._bands = bands and (bands[:3] if len(bands) >= 3 else bands[:1])
        self._limits: dict[str, list[tuple[float, float]]] = {}

    def check(self, job: Job) -> None:
        """Nothing, if the image can be shown.

        Raises:
            InputError: it cannot.
        """
        if job.image is not None:
            self._open(job).close()

    def read(self, job: Job, window: Window, shape: tuple[int, int]) -> Picture | None:
        """A window in this size; None if the scene has no image.

        Raises:
            InputError: it cannot be read.
        """
        if job.image is None:
            return None
        with self._open(job) as scene:
            limits = self._measure(job, scene)
            pixels, valid = scene.read_scaled(window, shape)
            return hatch(stretch(pixels, valid, limits), ~valid)

    def _open(self, job: Job) -> Scene:
        return open_warped(str(job.image), job.grid, "bilinear", self._bands)

    def _measure(self, job: Job, scene: Scene) -> list[tuple[float, float]]:
        key = str(job.image)
        if key not in self._limits:
            factor = max(1, -(-max(job.area.shape) // STRETCH_PX))
            shape = (-(-job.area.height // factor), -(-job.area.width // factor))
            lows, highs = zip(*measure_stretch(*scene.read_scaled(job.area, shape)), strict=True)
            # the same for all bands: colours stay what they are
            self._limits[key] = [(min(lows), max(highs))] * len(lows)
        return self._limits[key]


def picture_scene(overview: Overview, images: Images) -> list[Panel]:
    """The image, the errors on it, and where two masks differ."""
    shares = overview.shares
    image = images.read(overview.job, overview.job.area, overview.counted.shape)
    ground = _make_ground(image, overview.counted)
    colours = [item.rgb for item in ERRORS]
    panels = [Panel("image", image, is_photo=True)] if image is not None else []
    is_photo = image is not None
    panels.append(Panel("errors", overlay(ground, shares[:ONLY_MASK], colours), is_photo))
    if len(shares) > ONLY_MASK:
        differing = overlay(ground, shares[ONLY_MASK:], BETTER)
        panels.append(Panel("where the masks differ", differing, is_photo))
    return panels


def picture_window(wrong: WrongWindow, how: Legends, images: Images) -> list[Panel]:
    """Image, labels, prediction, that of the other mask, and errors."""
    labels, mask, other, outcomes = read_window(wrong.job, wrong.window, how)
    image = images.read(wrong.job, wrong.window, wrong.window.shape)
    panels = [Panel("image", image, is_photo=True)] if image is not None else []
    panels.append(Panel("labels", colour(labels, how.classes)))
    panels.append(Panel("prediction", colour(mask, how.classes)))
    if other is not None:
        panels.append(Panel("compared with", colour(other, how.classes)))
    shares = np.stack([np.where(outcomes == item.value, 255, 0) for item in ERRORS])
    ground = _make_ground(image, outcomes != UNCOUNTED)
    errors = overlay(ground, shares.astype(np.uint8), [item.rgb for item in ERRORS])
    return [*panels, Panel("errors", errors, image is not None)]


def read_window(
    job: Job, window: Window, how: Legends
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.uint8]]:
    """Positions (H, W) of labels, mask and other mask, and outcomes (H, W)."""
    arrays = np.full((4, *window.shape), NODATA, np.uint8)
    table = make_table(how.classes)
    for reading in read_pieces(replace(job, area=window, scores=None), how, 0):
        where = reading.window.relative_to(window).slices()
        arrays[(slice(None), *where)] = _stack(reading, table)
    labels, mask, other, outcomes = arrays
    return labels, mask, None if job.other is None else other, outcomes


def overlay(
    ground: Picture, shares: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]
) -> Picture:
    """Colours over a picture, as strong as their shares (layers, H, W), 255 is all.

    Small shares are shown stronger than they are: what is wrong should be seen in a scene of any
    size.
    """
    parts = shares.astype(np.float64) / 255
    total = parts.sum(axis=0)
    mixed = np.tensordot(parts, np.array(colours, np.float64), axes=(0, 0))
    mixed /= np.maximum(total, 1e-9)[..., None]
    strength = np.minimum(1.0, np.sqrt(total))[..., None]
    over: Picture = np.rint(ground * (1 - strength) + mixed * strength).astype(np.uint8)
    return over


def colour(positions: NDArray[np.uint8], classes: Sequence[ClassInfo]) -> Picture:
    """Positions (H, W) in the colours of the classes, hatched where there is none."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(classes)] = [item.rgb for item in classes]
    return hatch(colours[positions], positions == NODATA)


def put_side_by_side(pictures: Sequence[Picture], gap: int = 8) -> Picture:
    """Pictures of one height in a row, on white."""
    height = max(len(picture) for picture in pictures)
    white = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (white, picture)]
    row: Picture = np.concatenate(parts[1:], axis=1)
    return row


def _stack(reading: Reading, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    outcomes: NDArray[np.uint8] = table[reading.labels, reading.mask]
    outcomes[~reading.find_counted()] = UNCOUNTED
    other = reading.mask if reading.other is None else reading.other
    stacked: NDArray[np.uint8] = np.stack([reading.labels, reading.mask, other, outcomes])
    return stacked


def _make_ground(image: Picture | None, counted: NDArray[np.bool_]) -> Picture:
    """What errors are drawn on: the image, grey and pale, so that colours are errors."""
    if image is None:
        return hatch(np.full((*counted.shape, 3), BARE, np.uint8), ~counted)
    contrast, darkest = DIMMED
    grey = darkest + contrast * (image @ np.array([0.299, 0.587, 0.114]))
    ground: Picture = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return ground
