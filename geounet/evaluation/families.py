"""The families of metrics there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.family import Family
from geounet.evaluation.naming import list_names, refuse_name
from geounet.evaluation.options import ALL, EvaluateOptions
from geounet.evaluation.pixels import PixelFamily
from geounet.evaluation.probability import ProbabilityFamily, choose_steps

Classes = tuple[ClassInfo, ...]

FAMILIES: dict[str, Callable[[Classes, EvaluateOptions], Family]] = {
    "pixel": lambda classes, _: PixelFamily(classes),
    "probability": lambda classes, options: ProbabilityFamily(
        classes, choose_steps(options.scores)
    ),
}
"""What makes each, of classes and options."""


def choose_families(classes: Classes, options: EvaluateOptions) -> tuple[Family, ...]:
    """The families that were asked for, in the order of `FAMILIES`; that of pixels comes first.

    Raises:
        UsageError: there is no such family, or no such metric to fail under.
    """
    check_metrics(options.metrics)
    every = [make(classes, options) for make in FAMILIES.values()]
    wanted = {"pixel", *options.metrics}
    if options.scores:
        wanted.add("probability")
    if ALL in wanted:
        wanted |= FAMILIES.keys() - (set() if options.scores else {"probability"})
    names = {name: family.name for family in every for name in list_names(family)}
    for name, _ in options.fail_under:
        if name not in names:
            raise refuse_name(name, tuple(names), classes)
        wanted.add(names[name])
    if "probability" in wanted and not options.scores:
        raise UsageError("metrics of probabilities need these; give them with --scores")
    return tuple(family for family in every if family.name in wanted)


def check_metrics(metrics: Sequence[str]) -> None:
    """Nothing, if there are all these families.

    Raises:
        UsageError: there is no such family.
    """
    for name in metrics:
        if name not in FAMILIES and name != ALL:
            raise UsageError(
                f"--metrics {name}: there is no such family of metrics; choose of "
                f"{', '.join(FAMILIES)}, or {ALL}"
            )
