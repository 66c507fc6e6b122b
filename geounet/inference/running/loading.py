"""The models of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geounet.errors import ModelError, UsageError
from geounet.models import Model, load_model

ModelLike = str | Path | Model


def load_models(models: ModelLike | Sequence[ModelLike]) -> list[Model]:
    """One model, or the members of an ensemble.

    Raises:
        UsageError: there is none.
        ModelError: one cannot be loaded, or their classes differ.
    """
    given = [models] if isinstance(models, str | Path | Model) else list(models)
    if not given:
        raise UsageError("there is no model; give one with --model")
    loaded = [one if isinstance(one, Model) else load_model(one) for one in given]
    first = loaded[0]
    for other in loaded[1:]:
        named = [[(c.value, c.name) for c in one.spec.classes] for one in (first, other)]
        if named[0] != named[1]:
            raise ModelError(
                f"{other.name} has the classes {named[1]}, {first.name} {named[0]}; "
                "the models of an ensemble must agree"
            )
    return loaded
