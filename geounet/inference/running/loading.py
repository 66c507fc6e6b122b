"""The models of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geounet.errors import ModelError, UsageError
from geounet.inference.planning.fit import find_order
from geounet.models import Model, load_model

ModelLike = str | Path | Model


def load_models(models: ModelLike | Sequence[ModelLike]) -> list[Model]:
    """One model, or the members of an ensemble.

    Raises:
        UsageError: there is none.
        ModelError: one cannot be loaded, or they differ in classes or in the order of bands.
    """
    given = [models] if isinstance(models, str | Path | Model) else list(models)
    if not given:
        raise UsageError("there is no model; give one with --model")
    loaded = [one if isinstance(one, Model) else load_model(one) for one in given]
    for other in loaded[1:]:
        _require_agreement(loaded[0], other)
    return loaded


def _require_agreement(first: Model, other: Model) -> None:
    """Nothing, if two models of an ensemble map the same classes and read bands in one order.

    Raises:
        ModelError: they do not.
    """
    named = [[(c.value, c.name) for c in one.spec.classes] for one in (first, other)]
    if named[0] != named[1]:
        raise ModelError(
            f"{other.name} has the classes {named[1]}, {first.name} {named[0]}; "
            "the models of an ensemble must agree"
        )
    order = find_order(first.spec, [band.name for band in other.spec.bands])
    if order is not None and order != sorted(order):
        bands = [", ".join(str(band.name) for band in one.spec.bands) for one in (first, other)]
        raise ModelError(
            f"{other.name} reads the bands {bands[1]}, {first.name} {bands[0]}; "
            "the models of an ensemble must read them in one order"
        )
