"""The families of metrics there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from geounet.classes import ClassInfo
from geounet.errors import UsageError
from geounet.evaluation.measures.boundary import BoundaryFamily
from geounet.evaluation.measures.family import Family
from geounet.evaluation.measures.objects import ObjectFamily
from geounet.evaluation.measures.pixels import PixelFamily
from geounet.evaluation.measures.probability import ProbabilityFamily, choose_steps
from geounet.evaluation.measures.sizes import LENGTH, parse_bounds, parse_size
from geounet.evaluation.measures.topology import TopologyFamily
from geounet.evaluation.naming import check_limits, list_names
from geounet.evaluation.options import ALL, EvaluateOptions
from geounet.vector import find_amorphous

Classes = tuple[ClassInfo, ...]

PROBABILITY = "probability"
"""The family that needs scores."""


def make_boundary_family(classes: Classes, options: EvaluateOptions) -> BoundaryFamily:
    """That of boundaries."""
    width = parse_size(options.boundary_width, "--boundary-width", LENGTH)
    return BoundaryFamily(classes, width, options.hausdorff_cap)


def make_object_family(classes: Classes, options: EvaluateOptions) -> ObjectFamily:
    """That of objects."""
    bounds = parse_bounds(options.object_sizes, "--object-sizes")
    return ObjectFamily(
        classes, find_background(classes, options), options.connectivity == 8, bounds
    )


def make_topology_family(classes: Classes, options: EvaluateOptions) -> TopologyFamily:
    """That of topology."""
    background = find_background(classes, options)
    return TopologyFamily(classes, background, options.connectivity == 8, options.warp)


def find_background(classes: Classes, options: EvaluateOptions) -> frozenset[int]:
    """Positions in the classes of those that have no objects."""
    amorphous = find_amorphous(classes, options.label_options)
    return frozenset(k for k, item in enumerate(classes) if item.value in amorphous)


FAMILIES: dict[str, Callable[[Classes, EvaluateOptions], Family]] = {
    "pixel": lambda classes, _: PixelFamily(classes),
    "boundary": make_boundary_family,
    "object": make_object_family,
    "topology": make_topology_family,
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
    wanted = choose_names(classes, options)
    if PROBABILITY in wanted and not options.scores:
        raise UsageError("metrics of probabilities need these; give them with --scores")
    return tuple(make(classes, options) for name, make in FAMILIES.items() if name in wanted)


def choose_names(classes: Classes, options: EvaluateOptions) -> set[str]:
    """The names of these families; the scores may be yet to come, of a model.

    Raises:
        UsageError: likewise.
    """
    check_metrics(options.metrics)
    wanted = {"pixel", *options.metrics}
    if options.scores:
        wanted.add(PROBABILITY)
    if ALL in wanted:
        has_scores = options.scores or options.model
        wanted |= FAMILIES.keys() - (set() if has_scores else {PROBABILITY})
    if limits := (*options.fail_under, *options.fail_over):
        every = [make(classes, options) for make in FAMILIES.values()]
        names = {name: family.name for family in every for name in list_names(family)}
        check_limits(options, names, classes)
        wanted |= {names[name] for name, _ in limits}
    return wanted - {ALL}


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
