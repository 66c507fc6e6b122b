"""Which files are labels, and which rows of a CSV mean what."""

import numpy as np
import pytest
from rasters import write_raster

from geounet.errors import InputError
from geounet.raster import pixel_grid
from geounet.vector import match_labels, read_aoi
from geounet.vector.labels.datasets import Pair, find_dataset


def test_files_beside_labels_are_no_labels(tmp_path):
    pixels = np.zeros((4, 4), np.uint8)
    raster = write_raster(tmp_path / "a.dat", pixels, driver="ENVI")
    assert (tmp_path / "a.hdr").exists()
    vectors = tmp_path / "b.gpkg"
    for path in (vectors, *(tmp_path / f"b.gpkg-{end}" for end in ("wal", "shm", "journal"))):
        path.touch()
    for end in ("aux", "rrd", "stx", "clr"):
        (tmp_path / f"a.{end}").touch()
    images = ["/images/a.tif", "/images/b.tif"]
    assert match_labels(images, [tmp_path]) == list(zip(images, [raster, vectors], strict=True))


def test_rows_longer_than_the_header_are_refused(tmp_path):
    path = tmp_path / "scenes.csv"
    path.write_text("image,labels\na.tif,b.tif,,\nc.tif,d.tif, val\n")
    message = r"scenes\.csv, line 3: there is 'val' after the last of the 2 columns"
    with pytest.raises(InputError, match=message):
        find_dataset([path], [])
    path.write_text("image,labels\na.tif,b.tif,,\n")  # as spreadsheets save empty columns
    here = str(tmp_path)
    assert find_dataset([path], []).training == (Pair(f"{here}/a.tif", f"{here}/b.tif"),)


def test_parts_of_files_are_taken_as_gdal_names_them(tmp_path):
    (tmp_path / "site:1.tif").touch()
    path = tmp_path / "scenes.csv"
    path.write_text(
        "image,labels\nNETCDF:x.nc:v,GTIFF_DIR:2:x.tif\nsite:1.tif,b.gpkg|layername=roofs\n"
    )
    here = str(tmp_path)
    assert find_dataset([path], []).training == (
        Pair("NETCDF:x.nc:v", "GTIFF_DIR:2:x.tif"),
        Pair(f"{here}/site:1.tif", f"{here}/b.gpkg|layername=roofs"),
    )


def test_a_file_that_is_there_does_exist(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"a\.parquet is GeoParquet, which this GDAL cannot read"):
        read_aoi(tmp_path / "a.parquet", pixel_grid(4, 4))
    with pytest.raises(InputError, match=r"gone\.parquet does not exist"):
        read_aoi(tmp_path / "gone.parquet", pixel_grid(4, 4))
