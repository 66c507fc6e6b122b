"""What commands take and make: their arguments, and the options that stand before the panels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TrainImages = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Labelled scenes: anything GDAL opens, or a folder. Alone, without --labels: a "
        "folder with train/images, train/masks, val/..., test/..., or a CSV with the columns "
        "image,labels,split,weight.",
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        show_default="needed, but by --show-augmentation",
        help="Run folder, made new.",
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        "-l",
        metavar="LABELS",
        show_default=False,
        help="One raster or vector file per image, in their order (repeat the option); a "
        "folder, matched by file name; or one file for all. Any CRS, any grid.",
    ),
]
Scenes = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE", help="Scenes: anything GDAL opens, or a folder."),
]
Models = Annotated[
    list[Path],
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model file of geounet train or geounet export, or another's .onnx, .pt2 or .xml "
        "with a .json that describes it; repeated, an ensemble: mean of probabilities.",
    ),
]
MaskOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="The mask (.tif), also at s3://; a folder for several images.",
        metavar="OUT",
    ),
]
Masks = Annotated[
    list[str],
    typer.Argument(
        metavar="MASK",
        help="Masks of geounet predict, or any rasters of class numbers, or a folder; with "
        "--model images, or one folder with test/images and test/masks.",
    ),
]
Mask = Annotated[str, typer.Argument(help="A mask: class values in one integer band.")]
Polygons = Annotated[Path, typer.Argument(help="The polygons: .gpkg, .parquet, .fgb or .geojson.")]
Vector = Annotated[
    str, typer.Argument(help="Polygons or lines; FILE|layername=NAME if it has several layers.")
]
Like = Annotated[
    str, typer.Option(metavar="SCENE", help="Raster whose grid the labels are to have.")
]
ClassRaster = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="The class raster (.tif).")
]
TrainedModel = Annotated[Path, typer.Argument(help="Model file of geounet train.")]
Exported = Annotated[
    Path,
    typer.Argument(
        help="The file: .onnx (ONNX), .pt2 (torch.export) or .xml (OpenVINO, with a .bin)."
    ),
]
RasterOrModel = Annotated[
    str, typer.Argument(help="A raster, or a model: .safetensors, .onnx, .pt2 or .xml.")
]
FittingModel = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Also say whether this model fits the raster."),
]
InfoItem = Annotated[
    Path | None,
    typer.Option(
        "--stac",
        metavar="ITEM.json",
        help="Also describe it as an Item of STAC here: a model with the Machine Learning "
        "Model extension, a mask with its classes and grid.",
    ),
]
DemoFolder = Annotated[Path, typer.Argument(help="Where to work; made new.")]
NoSpeed = Annotated[
    bool, typer.Option("--no-speed", help="Leave out the speed test of about ten seconds.")
]
