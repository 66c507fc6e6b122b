"""Two processes that train together do what one does, and speak with one voice."""

import json

import numpy as np
import pytest
import team_steps
from rasters import write_raster
from team_steps import CASES, NETWORKS
from teams import finish_team, start_team

from geounet.training.team.team import SOLO


def make_scene(folder):
    """A scene with labels, for `team_steps.learn`."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.random((12, 12)) < 0.4, np.ones((8, 8))).astype(np.uint8)
    image = (rng.integers(0, 50, (3, 96, 96)) + 120 * labels).astype(np.uint8)
    write_raster(folder / "image.tif", image)
    write_raster(folder / "labels.tif", labels)
    return folder


def work_together(folder, *cases):
    """What two processes say of what `team_steps` lets them do."""
    command = (team_steps.__file__, folder, *map(json.dumps, cases))
    for code, _, text in finish_team(start_team(*command)):
        assert (code, text) == (0, "")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("together"))


@pytest.fixture(scope="module")
def said(folder):
    """What each of the two processes said."""
    return work_together(folder)


@pytest.fixture(scope="module")
def together(folder, said):
    """What each measured of some steps."""
    return [dict(np.load(folder / f"{rank}.npz")) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    return team_steps.measure(SOLO)


@pytest.mark.parametrize("name", [*CASES, *NETWORKS])
def test_gradients_are_those_of_one_process(together, alone, name):
    """Whatever the loss, with unequal parts of ignored pixels, dropout and strong augmentation."""
    gradients = {k: v for k, v in alone.items() if k.startswith(f"{name}/gradient")}
    largest = max(np.abs(v).max() for v in gradients.values())
    assert largest > 1e-3
    for found in together:
        np.testing.assert_allclose(found[f"{name}/loss"], alone[f"{name}/loss"], rtol=2e-6)
        for key, expected in gradients.items():
            np.testing.assert_allclose(found[key], expected, rtol=0, atol=5e-5 * largest)


def test_running_statistics_are_those_of_one_process(together, alone):
    buffers = {k: v for k, v in alone.items() if "/buffer/" in k}
    assert any("running_var" in key for key in buffers)
    for found in together:
        for key, expected in buffers.items():
            np.testing.assert_allclose(found[key], expected, rtol=1e-5, atol=1e-6, err_msg=key)


def test_steps_are_those_of_one_process(together, alone):
    """Two steps of three batches each, clipped: losses, weights and what BatchNorm remembers."""
    first, second = together
    for key in [key for key in alone if key.startswith(("after/", "loss of step"))]:
        np.testing.assert_allclose(first[key], alone[key], rtol=1e-4, atol=2e-6, err_msg=key)
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_what_layers_remember_is_that_of_the_first_process(together):
    for found in together:
        np.testing.assert_array_equal(found["aligned"], [1, 1])


def read_rows(run):
    lines = (run / "history.csv").read_text().splitlines()[1:]
    return np.array([[float(cell) for cell in line.split(",")[:-1]] for line in lines])


def test_a_run_of_two_has_the_history_of_one(folder, said, tmp_path, monkeypatch):
    team_steps.make_quick(monkeypatch.setattr)
    summary = team_steps.learn(make_scene(tmp_path), "run")
    np.testing.assert_allclose(read_rows(folder / "run0"), read_rows(tmp_path / "run"), rtol=1e-3)
    expected = [pytest.approx(summary.metrics.mean_iou, rel=1e-3), 2, 16, 0.005]
    assert [each["runs"][0] for each in said] == [expected, expected]
    names = {path.name for path in (folder / "run0").iterdir()}
    assert names == {path.name for path in (tmp_path / "run").iterdir()}
    assert json.loads((folder / "run0" / "settings.json").read_text())["processes"] == 2


def test_only_the_first_reports(said):
    first, second = said
    assert {"statistics", "train"} <= set(first["stages"])
    assert second["stages"] == []


def test_an_error_is_told_once(folder, said):
    first, second = (each["runs"][1] for each in said)
    told, silent = (first, second) if second[0] == "Echo" else (second, first)
    assert told[0] == "UsageError"
    assert "--batch is 3" in told[1]
    assert "2 processes need a multiple of 2: give --batch 4" in told[1]
    assert (told[2], silent[0], silent[2]) == (2, "Echo", 2)
    assert not (folder / "run1").exists()


@pytest.mark.slow
def test_what_is_left_to_choose_is_the_same_for_both(tmp_path):
    """As many chips on each as fit, and one learning rate."""
    first, second = work_together(make_scene(tmp_path), {"batch": None, "lr": None, "epochs": 1})
    assert first["runs"] == second["runs"]
    assert first["runs"][0][2] == 16
