"""What metrics are called in a report, and what has to be known to read them."""

from __future__ import annotations

from geounet.evaluation.naming import split_name

TITLES = {
    "iou": "IoU",
    "f1": "F1 (Dice)",
    "miou": "mean IoU",
    "oa": "overall accuracy",
    "fwiou": "frequency-weighted IoU",
    "mcc": "MCC",
    "boundary_iou": "boundary IoU",
    "boundary_f1": "boundary F1",
    "hausdorff95_px": "Hausdorff 95 %, pixels",
    "hausdorff95_m": "Hausdorff 95 %, metres",
    "object_f1": "object F1",
    "object_mean_precision": "object precision 0.5:0.95",
    "object_mean_recall": "object recall 0.5:0.95",
    "object_mean_f1": "object F1 0.5:0.95",
    "object_recall_small": "recall of small objects",
    "object_recall_medium": "recall of medium objects",
    "object_recall_large": "recall of large objects",
    "rand_error": "Rand error",
    "rand_precision": "Rand precision",
    "rand_recall": "Rand recall",
    "rand_error_single": "Rand error, SNEMI3D",
    "best_f1": "best F1",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
"""Of metrics whose name with spaces would not do."""

DETAILS = {
    "labels": "in the labels",
    "mask": "in the map",
    "matched": "found",
    "matched_by_iou": "found at IoU",
    "by_size": "size",
    "warped_px": "warped by pixels",
    "hausdorff_cap_px": "Hausdorff distance up to pixels",
    "hausdorff_more_than_cap": "Hausdorff distance more than that",
}
"""Of counts and settings, likewise."""

FAMILY_TITLES = {
    "pixel": "Pixels",
    "boundary": "Boundaries",
    "object": "Objects",
    "topology": "Topology",
    "probability": "Probabilities",
}

GLOSSARY = {
    "pixel": (
        "IoU: of the pixels that are of the class in the labels or in the map, the share that is "
        "in both. Precision: of those in the map, the share that is right. Recall: of those in the "
        "labels, the share that is found. F1: the harmonic mean of the two. Kappa and MCC: "
        "agreement beyond chance, 1 at best."
    ),
    "boundary": (
        "Boundary IoU looks at pixels near the class's boundary alone (Cheng et al. 2021). "
        "Boundary F1: the share of boundary pixels that are near the other boundary. Hausdorff "
        "95 %: 95 % of the boundary is nearer than this to the other one; - is undefined, or more "
        "than was looked for."
    ),
    "object": (
        "Objects are connected pixels of a class. One counts as found if an object of the map has "
        "an IoU above 0.5 with it; 0.5:0.95 is the mean over thresholds of 0.5, 0.55, ..., 0.95. "
        "Panoptic quality is segmentation quality (mean IoU of what is found) times recognition "
        "quality (F1). A split is an object found in several parts, a merge several found as one."
    ),
    "topology": (
        "Errors, 0 at best, of the ISBI 2012 challenge. Rand error: pairs of pixels that are one "
        "object in labels or map, and not in the other. Warping error: what is left wrong once "
        "boundaries may be shifted without changing what is connected."
    ),
    "probability": (
        "Brier score, log loss and calibration error are 0 at best. Calibrated probabilities are "
        "right as often as they say. Average precision: the area under the precision-recall curve. "
        "Best threshold: the one with the highest F1."
    ),
}
"""What the numbers of a family mean."""


def name_metric(name: str) -> str:
    """`object_f1` in words; with its class after it, if it is of one."""
    metric, of_class = split_name(name)
    title = TITLES.get(metric, metric.replace("_", " "))
    return title if of_class is None else f"{title}, {of_class}"


def write_number(value: float | None) -> str:
    """Three digits of a share, fewer of what may be large; - for what is undefined."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def write_share(part: float, whole: float) -> str:
    """In percent; - of nothing."""
    return write_percent(part / whole if whole else None)


def write_percent(share: float | None) -> str:
    """A share in percent; - for what is undefined."""
    return "-" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
