"""Every option of every command reaches the library: its own field of the options, no other."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.main import get_command

from geounet.cli.app import app
from geounet.evaluation import EvaluateOptions
from geounet.inference import PredictOptions
from geounet.models.export.options import ExportOptions
from geounet.training import TrainOptions
from geounet.training.augment.augment_options import PRESETS
from geounet.vector import PolygonizeOptions, RasterizeOptions

COMMANDS = get_command(app)

STANDARD = PRESETS["standard"]

BEGINNINGS = {
    "train": "scene.tif -l labels.tif -o run",
    "predict": "scene.tif -m model.safetensors -o mask.tif",
    "evaluate": "mask.tif -l labels.tif",
    "rasterize": "labels.gpkg --like scene.tif -o labels.tif",
    "polygonize": "mask.tif mask.gpkg",
    "export": "model.safetensors model.onnx",
}

PLAIN = {
    "train": TrainOptions(augment=STANDARD),
    "predict": PredictOptions(),
    "evaluate": EvaluateOptions(),
    "rasterize": RasterizeOptions(),
    "polygonize": PolygonizeOptions(),
    "export": ExportOptions(),
}
"""What the beginnings alone say."""

FUNCTIONS = {
    "train": "training.train",
    "predict": "inference.predict",
    "evaluate": "evaluation.evaluate",
    "rasterize": "vector.rasterize",
    "polygonize": "vector.polygonize",
    "export": "evaluation.export",
}

ELSEWHERE = {
    "train": "-l --labels -o --output --show-augmentation --json -q --quiet",
    "predict": "-m --model -o --output --stac --staging --stack --assets --shard --dry-run "
    "--verify --json -q --quiet",
    "evaluate": "-l --labels --json -q --quiet",
    "rasterize": "--like -o --output --json -q --quiet",
    "polygonize": "--json -q --quiet",
    "export": "--json -q --quiet",
}
"""Options that are no field of the library's."""

LABELS = [
    ("--class-field kind", {"label_options.class_field": "kind"}),
    ("--line-width 2.5", {"label_options.line_width_m": 2.5}),
    ("--ignore 0,255", {"label_options.ignore": ("0", "255")}),
    ("--sparse", {"label_options.sparse": True}),
]

AREA = [
    ("--aoi a.gpkg", {"aoi": "a.gpkg"}),
    ("--bbox 1,2,3,4", {"bbox": (1.0, 2.0, 3.0, 4.0)}),
]

FIT = [
    ("--bands 3,1", {"bands": (3, 1)}),
    ("--resample", {"resample": True}),
    ("--allow-pixel-size", {"allow_pixel_size": True}),
    ("--allow-dtype", {"allow_dtype": True}),
    ("--tta d4", {"tta": "d4"}),
    ("--device cuda:1", {"device": "cuda:1"}),
    ("--max-memory 3GB", {"max_memory": 3 * 10**9}),
]

OVERWRITE = [("--overwrite", {"overwrite": True})]

CASES = {
    "train": [
        *LABELS,
        *AREA,
        *OVERWRITE,
        ("--classes a,b", {"classes": "a,b"}),
        ("--threshold 7", {"label_options.threshold": 7.0}),
        ("--separate 2", {"label_options.separate_px": 2}),
        ("--bands 3,1", {"bands": (3, 1)}),
        (
            "--val-images v.tif --val-images w.tif --val-labels x.tif",
            {"val_images": ("v.tif", "w.tif"), "val_labels": ("x.tif",)},
        ),
        ("--val-fraction 0.3", {"val_fraction": 0.3}),
        ("--architecture unet", {"architecture": "unet"}),
        ("--init a.safetensors", {"init": Path("a.safetensors")}),
        ("--width 8", {"width": 8}),
        ("--depth 3", {"depth": 3}),
        ("--padding valid", {"padding": "valid"}),
        ("--norm none", {"norm": "none"}),
        ("--blocks 3,4,6,3", {"blocks": (3, 4, 6, 3)}),
        ("--dropout 0.5", {"dropout": 0.5}),
        ("--encoder-weights imagenet", {"encoder_weights": "imagenet"}),
        ("--epochs 3", {"epochs": 3}),
        ("--max-time 1.5", {"max_time_min": 1.5}),
        ("--chip 64", {"chip": 64}),
        ("--balance class", {"balance": "class"}),
        ("--batch 3", {"batch": 3}),
        ("--batch auto", {"batch": None}),
        ("--accumulate 2", {"accumulate": 2}),
        ("--patience 4", {"patience": 4}),
        ("--optimiser sgd", {"optimiser": "sgd"}),
        ("--lr 0.5", {"lr": 0.5}),
        ("--lr auto", {"lr": None}),
        ("--schedule cosine", {"schedule": "cosine"}),
        ("--warm-up 0.2", {"warm_up": 0.2}),
        ("--momentum 0.8", {"momentum": 0.8}),
        ("--weight-decay 0.2", {"weight_decay": 0.2}),
        ("--clip 2", {"clip": 2.0}),
        ("--ema 0.9", {"ema": 0.9}),
        ("--loss dice", {"loss_options.loss": "dice"}),
        ("--class-weights inverse", {"loss_options.class_weights": "inverse"}),
        ("--label-smoothing 0.1", {"loss_options.label_smoothing": 0.1}),
        ("--border-weight 10", {"loss_options.border_weight": 10.0}),
        ("--border-sigma 3", {"loss_options.border_sigma_px": 3.0}),
        ("--augment strong", {"augment": PRESETS["strong"]}),
        ("--rotate 5", {"augment": replace(STANDARD, rotate_deg=5.0)}),
        ("--scale 2", {"augment": replace(STANDARD, scale=2.0)}),
        ("--shift 5", {"augment": replace(STANDARD, shift_px=5.0)}),
        ("--elastic 5", {"augment": replace(STANDARD, elastic_px=5.0)}),
        ("--brightness 0.5", {"augment": replace(STANDARD, brightness=0.5)}),
        ("--contrast 0.5", {"augment": replace(STANDARD, contrast=0.5)}),
        ("--gamma 0.5", {"augment": replace(STANDARD, gamma=0.5)}),
        ("--noise 0.5", {"augment": replace(STANDARD, noise=0.5)}),
        ("--blur 0.5", {"augment": replace(STANDARD, blur_px=0.5)}),
        ("--band-dropout 0.5", {"augment": replace(STANDARD, band_dropout=0.5)}),
        ("--seed 7", {"seed": 7}),
        ("--device cuda:1", {"device": "cuda:1"}),
        ("--precision float32", {"precision": "float32"}),
        ("--workers 5", {"workers": 5}),
        ("--max-memory 3GB", {"max_memory": 3 * 10**9}),
        ("--resume", {"resume": True}),
        ("--tensorboard", {"tensorboard": True}),
    ],
    "predict": [
        *AREA,
        *FIT,
        *OVERWRITE,
        ("--polygons p.gpkg", {"polygons": Path("p.gpkg")}),
        ("--confidence c.tif", {"confidence": Path("c.tif")}),
        ("--scores s.tif", {"scores": Path("s.tif")}),
        ("--scores-dtype float16", {"scores_dtype": "float16"}),
        ("--tile 640", {"tile": 640}),
        ("--tile auto", {"tile": None}),
        ("--batch 3", {"batch": 3}),
        ("--engine torch", {"engine": "torch"}),
        ("--precision float32", {"precision": "float32"}),
        ("--readers 3", {"readers": 3}),
        ("--cluster local:2", {"cluster": "local:2"}),
    ],
    "evaluate": [
        *LABELS,
        *AREA,
        *[
            (
                f"-m a {text}",
                {"model": (Path("a"),), **{f"predict_options.{k}": v for k, v in found.items()}},
            )
            for text, found in FIT
        ],
        *OVERWRITE,
        ("--classes a,b", {"classes": "a,b"}),
        ("--threshold 7", {"label_options.threshold": 7.0}),
        ("--compare a.tif --compare b.tif", {"compare": ("a.tif", "b.tif")}),
        ("--metrics pixel,boundary", {"metrics": ("pixel", "boundary")}),
        ("--scores s.tif", {"scores": ("s.tif",)}),
        ("--boundary-width 2m", {"boundary_width": "2m"}),
        ("--hausdorff-cap 9", {"hausdorff_cap": 9}),
        ("--connectivity 8", {"connectivity": 8}),
        ("--no-features", {"features": False}),
        ("--features", {"features": True}),
        ("--object-sizes 1m2,2m2", {"object_sizes": "1m2,2m2"}),
        ("--warp 3", {"warp": 3}),
        ("--fail-under miou=0.5", {"fail_under": (("miou", 0.5),)}),
        ("--fail-over ece=0.5", {"fail_over": (("ece", 0.5),)}),
        ("--no-intervals", {"intervals": False}),
        ("--intervals", {"intervals": True}),
        ("--bootstrap 200", {"bootstrap": 200}),
        ("--block 64", {"block": 64}),
        ("--seed 7", {"seed": 7}),
        ("-m a -m b", {"model": (Path("a"), Path("b"))}),
        ("--model a --masks b", {"model": (Path("a"),), "masks": Path("b")}),
        ("--csv a.csv", {"csv": Path("a.csv")}),
        ("--report a.html", {"report": Path("a.html")}),
        (
            "--report a.html --report-figures --images a.tif",
            {"report": Path("a.html"), "report_figures": True, "images": ("a.tif",)},
        ),
        ("--errors e.gpkg", {"errors": Path("e.gpkg")}),
    ],
    "rasterize": [
        *LABELS,
        *AREA,
        *OVERWRITE,
        ("--classes a,b", {"classes": "a,b"}),
        ("--separate 2", {"label_options.separate_px": 2}),
    ],
    "polygonize": [
        *OVERWRITE,
        ("--classes a,b", {"classes": ("a", "b")}),
        ("--min-area 5", {"min_area_m2": 5.0}),
        ("--min-area 5 --drop-small", {"min_area_m2": 5.0, "drop_small": True}),
        ("--min-hole 5", {"min_hole_m2": 5.0}),
        ("--simplify 5", {"simplify_m": 5.0}),
        ("--smooth", {"smooth": True}),
        ("--regularize", {"regularize": True}),
        ("--connectivity 8", {"connectivity": 8}),
        ("--confidence c.tif", {"confidence": "c.tif"}),
        ("--scores s.tif", {"scores": "s.tif"}),
        ("--crs EPSG:32645", {"crs": "EPSG:32645"}),
        ("--layer map", {"layer": "map"}),
        ("--append", {"append": True}),
    ],
    "export": [
        *OVERWRITE,
        ("--normalisation outside", {"normalisation": "outside"}),
        ("--activation none", {"activation": "none"}),
        ("--tile 64", {"tile": 64}),
        ("--int8", {"int8": True}),
        ("--scene a.tif --scene b.tif", {"scenes": ("a.tif", "b.tif")}),
        ("--labels a.tif -l b.tif", {"labels": ("a.tif", "b.tif")}),
        ("--bands 3,1", {"bands": (3, 1)}),
        ("--tolerance 0.5", {"tolerance": 0.5}),
    ],
}


class Called(Exception):
    """The library was called with these options."""


def find_options(command, arguments, monkeypatch):
    """What the command hands to the library."""

    def take(*given):
        raise Called(next(one for one in given if isinstance(one, type(PLAIN[command]))))

    for name in (FUNCTIONS[command], "inference.predict_scenes"):
        monkeypatch.setattr(f"geounet.{name}", take)
    monkeypatch.setattr("geounet.inference.load_models", tuple)
    with pytest.raises(Called) as found:
        COMMANDS.main(
            [command, *f"{BEGINNINGS[command]} {arguments}".split()], standalone_mode=False
        )
    return found.value.args[0]


def vary(options, fields):
    """The options with these fields, `outer.inner` of options in options."""
    changed = {}
    for name, value in fields.items():
        outer, _, inner = name.partition(".")
        changed[outer] = vary(getattr(options, outer), {inner: value}) if inner else value
    return replace(options, **changed)


@pytest.mark.parametrize("command", CASES)
def test_defaults(command, monkeypatch):
    assert find_options(command, "", monkeypatch) == PLAIN[command]


@pytest.mark.parametrize(
    ("command", "arguments", "fields"),
    [(command, *case) for command, cases in CASES.items() for case in cases],
)
def test_option(command, arguments, fields, monkeypatch):
    expected = vary(PLAIN[command], fields)
    assert find_options(command, arguments, monkeypatch) == expected


@pytest.mark.parametrize("command", CASES)
def test_no_option_is_left_out(command):
    parameters = COMMANDS.commands[command].params
    there = {flag for one in parameters for flag in (*one.opts, *one.secondary_opts) if "-" in flag}
    tried = {word for text, _ in CASES[command] for word in text.split() if word.startswith("-")}
    tried |= set(ELSEWHERE[command].split())
    aliases = {"-m", "-l", "--help", "-h"}
    assert there - aliases == tried - aliases
