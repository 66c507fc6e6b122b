"""The spec: what one needs to know to use a model, as JSON inside the model file. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from geounet.classes import ClassInfo, check_classes
from geounet.errors import GeounetError, ModelError

FORMAT_VERSION = 1

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
          "float16", "float32", "float64")  # fmt: skip
"""numpy names of what a raster's pixels can be."""


@dataclass(frozen=True, slots=True)
class Band:
    """One input band, normalised as `x' = (x - offset) / scale`.

    Attributes:
        name: the band's description in the training scenes, if they had one.
        dtype: numpy name of the training scenes' dtype.
        offset: mean over the valid training pixels, in the scene's units.
        scale: standard deviation over them; 1 for a constant band.
    """

    name: str | None
    dtype: str
    offset: float
    scale: float

    def __post_init__(self) -> None:
        if not isinstance(self.dtype, str) or self.dtype not in DTYPES:
            raise ModelError(f"band {self.name or '?'}: dtype {self.dtype!r} is none of a raster")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale > 0):
            raise ModelError(
                f"band {self.name or '?'}: offset {self.offset} and scale {self.scale}; "
                "both must be finite and the scale positive"
            )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The contract of a model.

    Attributes:
        architecture: key of `ARCHITECTURES`.
        arguments: its keyword arguments except bands and classes.
        bands: the input bands in order.
        classes: the output classes in order of the network's channels.
        pixel_size_m: side of a training pixel on the ground, metres; None if not georeferenced.
        margin: context in pixels on each side; None if the network has no finite margin.
        stride: period of the lattice in pixels.
        training: how it came about (scenes, dates, metrics, seed, versions); free JSON.
    """

    architecture: str
    arguments: Mapping[str, Any]
    bands: tuple[Band, ...]
    classes: tuple[ClassInfo, ...]
    pixel_size_m: float | None
    margin: int | None
    stride: int
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.bands:
            raise ModelError("the spec names no band")
        if len(self.classes) < 2:
            raise ModelError(f"the spec names {len(self.classes)} class; a map needs two")
        check_classes(self.classes)
        if not isinstance(self.architecture, str) or not isinstance(self.arguments, Mapping):
            raise ModelError("the spec's architecture is no name with arguments")
        if not isinstance(self.stride, int) or self.stride < 1:
            raise ModelError(f"the spec's stride is {self.stride!r}; it must be 1 or more")
        size = self.pixel_size_m
        if size is not None and not (isinstance(size, int | float) and 0 < size < math.inf):
            raise ModelError(f"the spec's pixel size is {size!r} m; it must be positive")

    def to_json(self) -> str:
        """The metadata value, `format_version` first."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Parse and check.

        Raises:
            ModelError: no JSON of this format, or a newer version of it.
        """
        try:
            content = json.loads(text)
            version = content.pop("format_version")
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelError("its metadata is no geounet spec") from error
        if version != FORMAT_VERSION:
            raise ModelError(
                f"its format version is {version}, this geounet reads {FORMAT_VERSION}; "
                "use the geounet that wrote it, or a newer one"
            )
        try:
            content["bands"] = tuple(Band(**band) for band in content["bands"])
            content["classes"] = tuple(ClassInfo(**item) for item in content["classes"])
            return cls(**content)
        except (TypeError, KeyError, AttributeError, GeounetError) as error:
            raise ModelError(f"its spec is damaged: {error}") from error
