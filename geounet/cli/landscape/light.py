"""Sunlight, shadow, haze and the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geounet.cli.landscape.noise import Image, blur, smooth_noise

Floats = NDArray[np.float32]
AMBIENT = np.array([0.45, 0.47, 0.52, 0.38], np.float32)
"""Light of the sky alone, as a share of full light: red, green, blue, near infrared."""


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the light comes from: a unit vector (right, down) on the image, and elevation."""

    right: float
    down: float
    elevation: float

    def light(self, slope_right: Floats, slope_down: Floats) -> Floats:
        """Light on a sloping surface, 1 on level ground; slopes in metres up per metre."""
        towards = -(slope_right * self.right + slope_down * self.down)
        steepness = np.sqrt(1 + slope_right**2 + slope_down**2)
        cosine = (math.sin(self.elevation) + math.cos(self.elevation) * towards) / steepness
        shaded = np.clip(cosine / math.sin(self.elevation), 0, 1.6)
        return np.asarray(0.35 + 0.65 * shaded, dtype=np.float32)


def choose_sun(rng: np.random.Generator) -> Sun:
    """A sun in the south, between morning and afternoon; north is up."""
    azimuth = math.radians(rng.uniform(130, 215))
    return Sun(math.sin(azimuth), -math.cos(azimuth), math.radians(rng.uniform(38, 52)))


def cast_shadows(height: Image, sun: Sun, pixel_m: float) -> Image:
    """1 where something stands between the pixel and the sun, 0 where not, float32 (H, W)."""
    drop = pixel_m * math.tan(sun.elevation)
    steps = math.ceil(float(height.max()) / drop)
    padded = np.pad(height, steps + 1)
    rows, cols = height.shape
    highest = np.zeros_like(height)
    for step in range(1, steps + 1):
        row = steps + 1 + round(step * sun.down)
        col = steps + 1 + round(step * sun.right)
        between = padded[row : row + rows, col : col + cols] - np.float32(step * drop)
        np.maximum(highest, between, out=highest)
    return (highest > height + 0.4).astype(np.float32)


def expose(rng: np.random.Generator, colour: Floats, shadow: Image) -> Floats:
    """What the camera saw: shadows, relief, haze, the lens and noise; float32 (4, H, W), 0-1."""
    shape = shadow.shape
    relief = 1 + 0.035 * smooth_noise(rng, shape, 170)
    haze = np.float32(rng.uniform(0.03, 0.09)) * (1 + 0.3 * smooth_noise(rng, shape, 240))
    airlight = np.array([0.66, 0.72, 0.80, 0.55], np.float32)
    gain = rng.normal(1, 0.02, 4).astype(np.float32) * np.float32(rng.normal(1, 0.05))
    seen = np.empty_like(colour)
    for band in range(4):
        lit = colour[band] * relief * (1 - shadow * (1 - AMBIENT[band]))
        focused = blur(lit * gain[band] * (1 - haze) + airlight[band] * haze, 0.6)
        noise = rng.standard_normal(shape, dtype=np.float32)
        seen[band] = focused + noise * (0.006 + 0.012 * np.sqrt(np.clip(focused, 0, 1)))
    return seen
