"""--resample: the network sees the model's pixel size, the outputs lie on the scene's grid."""

import itertools

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import make_model
from rasters import UTM, read_raster, write_raster
from test_inference_predict import make_pixels, predict_untiled

from geounet.classes import NODATA
from geounet.errors import ModelError, UsageError
from geounet.inference import PredictOptions, foresee, predict, verify
from geounet.inference.planning import parts
from geounet.inference.running import finishing, keeping, returning
from geounet.raster import Grid, Resampled, Window, open_scene

FACTORS = [0.4, 1.7, 2, 3.3]
OPTIONS = {"precision": "float32", "resample": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One for each factor, for scenes of half-metre pixels."""
    folder = tmp_path_factory.mktemp("models")
    return {f: make_model(folder, pixel_size_m=0.5 * f)[1] for f in FACTORS}


def under(size, factor):
    """Which resampled pixel is under the centre of each."""
    return np.floor((np.arange(size) + 0.5) / factor).astype(int)


def expect(path, model, factor):
    """The network on the resampled scene in one go, then the nearest pixel of each."""
    with Resampled(open_scene(path), factor) as scene:
        pixels, valid = scene.read(scene.grid.extent)
        labels = predict_untiled(model, pixels, valid)
        _, data = scene.source.read(scene.source.grid.extent)
    rows, cols = (under(size, factor) for size in data.shape)
    return np.where(data, labels[np.ix_(rows, cols)], NODATA)


def run(tmp_path, scene, model, name="mask.tif", **options):
    summary = predict(scene, model, tmp_path / name, PredictOptions(**OPTIONS, **options))
    return read_raster(tmp_path / name)[0], summary


@pytest.mark.parametrize("factor", FACTORS)
def test_mask_is_that_of_the_resampled_scene(tmp_path, models, factor):
    pixels = make_pixels(113, 146)
    pixels[:, 20:50, 30:70] = 0
    pixels[:, ::9, ::11] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    mask, summary = run(tmp_path, scene, models[factor], tile=32)
    expected = expect(scene, models[factor], factor)
    assert (mask == expected).all()
    assert ((mask == NODATA) == (pixels == 0).any(0)).all()  # no pixel with data is lost
    assert min(np.bincount(mask.ravel(), minlength=3)[:3]) > 50
    assert (summary.height, summary.width) == (113, 146)
    counts = [int((mask == value).sum()) for value in range(3)]
    assert list(summary.class_pixels.values()) == counts
    assert summary.nodata_pixels == (mask == NODATA).sum()
    with rasterio.open(tmp_path / "mask.tif") as result, rasterio.open(scene) as source:
        assert result.transform == source.transform
        assert result.crs == source.crs
        assert "from 0.5 m" in result.tags()["GEOUNET_RESAMPLED"]


@pytest.mark.parametrize("factor", [0.4, 3.3])
def test_bytes_do_not_depend_on_the_cut(tmp_path, models, factor, monkeypatch):
    """Tile, batch, readers, parts, strips and chunks of what is brought back."""
    monkeypatch.setattr(parts, "PART_PIXELS", 3000)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(200, 150), tiled=True,
                         blockxsize=64, blockysize=64)  # fmt: skip
    run(tmp_path, scene, models[factor], "a.tif", tile=32)
    monkeypatch.setattr(returning, "BLOCK", 16)
    monkeypatch.setattr(returning, "CHUNK_COLS", 50)
    for i, options in enumerate([{"tile": 64, "readers": 3}, {"tile": 104, "batch": 3}]):
        run(tmp_path, scene, models[factor], f"{i}.tif", **options)
        assert (tmp_path / f"{i}.tif").read_bytes() == (tmp_path / "a.tif").read_bytes()


@settings(deadline=None, max_examples=300)
@given(
    st.floats(0.01, 100), st.integers(1, 5000), st.sampled_from([1, 7, 81, 4000, 10**8]),
    st.integers(0, 10**6), st.integers(0, 10**6),
)  # fmt: skip
def test_what_lies_under_a_chunk_is_bounded(factor, rows, pixel_bytes, row_off, col_off):
    class Source:
        grid = Grid(2 * 10**6, 2 * 10**6, UTM)

    scene = Resampled(Source(), factor)
    height, width = returning.choose_chunk(scene, (rows, 4096), pixel_bytes)
    assert 1 <= height <= rows
    assert 1 <= width <= 4096
    chunk = Window(row_off=row_off, col_off=col_off, height=height, width=width)
    under = scene.window_under(chunk).area
    assert under == 1 or under * pixel_bytes <= parts.PART_BYTES
    whole = (rows / factor + 2) * (4096 / factor + 2) * pixel_bytes
    if whole <= parts.PART_BYTES / 2 and rows < 5000 * factor:
        assert (height, width) == (rows, 4096)  # not cut without need


def test_chunks_are_cut_by_what_lies_under_them(tmp_path, models, monkeypatch):
    """In both directions, and the outputs are the same bytes; also where a strip would be empty."""
    scene = write_raster(tmp_path / "scene.tif", make_pixels(120, 150))
    run(tmp_path, scene, models[0.4], "a.tif", tile=64)
    asked, original = [], returning.read_parts

    def read(near, window, pixels):
        asked.append(window)
        return original(near, window, pixels)

    monkeypatch.setattr(returning, "PART_BYTES", 3000)
    monkeypatch.setattr(returning, "BLOCK", 60)
    monkeypatch.setattr(returning, "read_parts", read)
    run(tmp_path, scene, models[0.4], "b.tif", tile=64)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert max(window.area for window in asked) <= 3000
    assert len({window.row_off for window in asked}) > 4
    assert len({window.col_off for window in asked}) > 4


def test_verify_takes_smaller_windows_of_a_finer_scene(tmp_path, models, monkeypatch):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(60, 70))
    run(tmp_path, scene, models[0.4])
    monkeypatch.setattr(returning, "PART_BYTES", 13 * 50**2)  # the mask and three float32 scores
    options = PredictOptions(**OPTIONS)
    check = verify(scene, models[0.4], tmp_path / "mask.tif", options, windows=3)
    assert check.labels_changed == 0
    assert 15**2 <= check.pixels / 3 <= 20**2


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from(FACTORS), st.data())
def test_bbox_is_the_cut_of_the_whole(tmp_path, models, height, width, factor, data):
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows = slice(row, data.draw(st.integers(row + 1, height)))
    cols = slice(col, data.draw(st.integers(col + 1, width)))
    scene = write_raster(tmp_path / "scene.tif", make_pixels(height, width))
    (west, north), (east, south) = UTM @ (cols.start, rows.start), UTM @ (cols.stop, rows.stop)
    mask, _ = run(
        tmp_path, scene, models[factor], tile=24, bbox=(west, south, east, north), overwrite=True
    )
    assert (mask == expect(scene, models[factor], factor)[rows, cols]).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_aoi_is_the_cut_of_the_whole(tmp_path, models, factor):
    import geopandas
    import shapely

    scene = write_raster(tmp_path / "scene.tif", make_pixels(120, 150))
    corners = [(20.3, 30.2), (100.7, 40.1), (60.2, 110.4)]
    polygon = shapely.Polygon([UTM @ corner for corner in corners])
    geopandas.GeoDataFrame(geometry=[polygon], crs="EPSG:32633").to_file(tmp_path / "aoi.gpkg")
    mask, _ = run(tmp_path, scene, models[factor], tile=16, aoi=tmp_path / "aoi.gpkg")
    with rasterio.open(tmp_path / "mask.tif") as result:
        col, row = (round(v) for v in ~UTM @ (result.transform.c, result.transform.f))
    window = np.s_[row : row + mask.shape[0], col : col + mask.shape[1]]
    rows, cols = np.mgrid[window]
    inside = shapely.contains_xy(shapely.Polygon(corners), cols + 0.5, rows + 0.5)
    expected = np.where(inside, expect(scene, models[factor], factor)[window], NODATA)
    assert (mask == expected).all()
    assert 0.2 < inside.mean() < 0.8


@pytest.mark.parametrize("factor", [0.4, 1.7])
def test_scores_and_confidence_come_back_too(tmp_path, models, factor):
    pixels = make_pixels(60, 70).clip(1)
    pixels[:, :5, :5] = 0
    scene = write_raster(tmp_path / "scene.tif", pixels, nodata=0)
    files = {"scores": tmp_path / "scores.tif", "confidence": tmp_path / "confidence.tif"}
    mask, _ = run(tmp_path, scene, models[factor], **files, scores_dtype="float32")
    scores, confidence = (read_raster(files[kind]) for kind in ("scores", "confidence"))
    assert scores.shape == (3, 60, 70)
    assert (np.isnan(scores) == (mask == NODATA)).all()
    data = mask != NODATA
    assert (scores.argmax(0) == mask)[data].all()
    assert (confidence[0][data] == np.rint(254 * scores.max(0)[data])).all()
    rows, cols = under(60, factor), under(70, factor)
    same = rows[:-1] == rows[1:]
    assert (mask[:-1][same] == mask[1:][same])[:, 5:].all()
    assert (scores[:, 6:, :-1] == scores[:, 6:, 1:])[..., cols[:-1] == cols[1:]].all()


@pytest.mark.parametrize("moment", ["parts", "strips", "assembling"])
def test_goes_on_after_an_interruption(tmp_path, models, moment, monkeypatch):
    monkeypatch.setattr(parts, "PART_PIXELS", 3000)
    monkeypatch.setattr(returning, "BLOCK", 16)
    scene = write_raster(tmp_path / "scene.tif", make_pixels(200, 90))
    run(tmp_path, scene, models[1.7], "whole.tif", tile=32)
    module, function = {
        "parts": (keeping, "open_part"),
        "strips": (returning, "open_file"),
        "assembling": (finishing, "assemble"),
    }[moment]
    original, count = getattr(module, function), itertools.count(1)

    def stop(*args, **kwargs):
        if next(count) > (moment != "assembling"):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, function, stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, scene, models[1.7], tile=32)
    kept = len(list((tmp_path / "mask.tif.parts").glob("*mask-*.tif")))
    assert kept >= 1
    mask, summary = run(tmp_path, scene, models[1.7], tile=64)
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert sum(summary.class_pixels.values()) == mask.size
    assert summary.parts_resumed == min(kept, len(list(parts_of(tmp_path, models, scene))))
    assert not [p for p in tmp_path.iterdir() if "parts" in p.name or "tmp" in p.name]


def parts_of(tmp_path, models, scene):
    options = PredictOptions(**OPTIONS, tile=32)
    return range(foresee(scene, models[1.7], tmp_path / "other.tif", options).parts)


def test_a_finished_run_is_left_alone(tmp_path, models):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(60, 50))
    _, first = run(tmp_path, scene, models[2])
    before = (tmp_path / "mask.tif").stat().st_mtime_ns
    _, again = run(tmp_path, scene, models[2])
    assert (tmp_path / "mask.tif").stat().st_mtime_ns == before
    assert again.class_pixels == first.class_pixels
    with pytest.raises(UsageError, match="exists"):  # another run
        predict(scene, models[2], tmp_path / "mask.tif", PredictOptions(allow_pixel_size=True))


@pytest.mark.parametrize("factor", [0.4, 1.7])
def test_geographic_crs(tmp_path, factor):
    """Degrees become metres at the scene's centre."""
    degrees = Affine(1e-5, 0, 85.3, 0, -1e-5, 27.7)
    scene = write_raster(
        tmp_path / "scene.tif", make_pixels(70, 80), transform=degrees, crs="EPSG:4326"
    )
    with open_scene(scene) as opened:
        size = opened.grid.pixel_size_m
    assert 0.9 < size < 1.2
    _, model = make_model(tmp_path, pixel_size_m=size * factor)
    mask, _ = run(tmp_path, scene, model, tile=16)
    assert (mask == expect(scene, model, factor)).all()


def test_south_up_and_rotated(tmp_path, models):
    pixels = make_pixels(70, 80)
    expected = None
    for name, transform in {
        "north": UTM,
        "south": Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000),
        "rotated": UTM @ Affine.rotation(30),
    }.items():
        scene = write_raster(tmp_path / f"{name}.tif", pixels, transform=transform)
        mask, _ = run(tmp_path, scene, models[1.7], f"{name}-mask.tif")
        expected = mask if expected is None else expected
        assert (mask == expected).all()
        with rasterio.open(tmp_path / f"{name}-mask.tif") as result:
            assert result.transform.almost_equals(transform, precision=1e-9)


def test_a_stack(tmp_path, models):
    pixels = make_pixels(50, 60)
    files = [write_raster(tmp_path / f"b{i}.tif", band) for i, band in enumerate(pixels)]
    whole = write_raster(tmp_path / "whole.tif", pixels)
    mask, _ = run(tmp_path, files, models[1.7], "a.tif")
    assert (mask == run(tmp_path, whole, models[1.7], "b.tif")[0]).all()


def test_verify_and_dry_run_speak_of_the_scene_s_own_grid(tmp_path, models):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(300, 280))
    model, path = models[1.7], tmp_path / "mask.tif"
    options = PredictOptions(**OPTIONS, tile=64)
    before = set(tmp_path.iterdir())
    outlook = foresee(scene, model, path, options)
    assert set(tmp_path.iterdir()) == before
    _, summary = run(tmp_path, scene, model, tile=64)
    assert (outlook.height, outlook.width) == (300, 280)
    assert outlook.tiles == summary.tiles
    assert outlook.output_bytes == {"mask": 300 * 280}
    assert outlook.pixel_size_m == pytest.approx(0.85)
    check = verify(scene, model, path, options, windows=2)
    assert (check.pixels, check.labels_changed) == (2 * 256 * 256, 0)
    write_raster(tmp_path / "false.tif", np.roll(read_raster(path)[0], 3, axis=0))
    assert verify(scene, model, tmp_path / "false.tif", options, windows=2).labels_changed > 100


def test_nothing_is_resampled_within_a_hundredth(tmp_path):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(60, 50))
    _, model = make_model(tmp_path, pixel_size_m=0.504)
    plain = predict(scene, model, tmp_path / "a.tif", PredictOptions(precision="float32"))
    mask, summary = run(tmp_path, scene, model, "b.tif")
    assert (mask == read_raster(tmp_path / "a.tif")[0]).all()
    assert summary.class_pixels == plain.class_pixels
    with rasterio.open(tmp_path / "b.tif") as result:
        assert "GEOUNET_RESAMPLED" not in result.tags()


def test_what_cannot_be_resampled_is_refused(tmp_path, models):
    scene = write_raster(tmp_path / "scene.tif", make_pixels(20, 20))
    bare = write_raster(tmp_path / "bare.tif", make_pixels(20, 20), transform=None)
    _, sizeless = make_model(tmp_path, pixel_size_m=None)
    _, coarse = make_model(tmp_path, pixel_size_m=80.0)
    with pytest.raises(UsageError, match=r"bare\.tif has no CRS.*leave out --resample"):
        run(tmp_path, bare, models[2])
    with pytest.raises(UsageError, match="the model was trained on images without CRS"):
        run(tmp_path, scene, sizeless)
    with pytest.raises(ModelError, match="factor of 100"):
        run(tmp_path, scene, coarse)
    with pytest.raises(ModelError, match=r"another was trained on 1\.65 m.*--allow-pixel-size"):
        run(tmp_path, scene, [models[2], models[3.3]])
    with pytest.raises(ModelError, match="use --resample, or --allow-pixel-size"):
        predict(scene, models[2], tmp_path / "mask.tif")
    assert not list(tmp_path.glob("mask*"))
