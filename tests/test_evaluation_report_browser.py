"""What a browser makes of the reports: headless Chromium, if it is installed."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
from rasters import write_raster

from geounet.evaluation import EvaluateOptions, evaluate
from geounet.training import TrainOptions, train

pytestmark = pytest.mark.slow

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

MEASURE = """
const wide = [...document.querySelectorAll('body *')].filter(e =>
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    && !e.closest('.scroll'));
const cells = [...document.querySelectorAll('td, th')].filter(e => e.textContent.trim()
    && e.checkVisibility());
const style = e => getComputedStyle(e);
return {
  width: document.documentElement.scrollWidth,
  inner: document.documentElement.clientWidth,
  wide: wide.map(e => e.outerHTML.slice(0, 80)),
  tables: document.querySelectorAll('table').length,
  least: Math.min(...cells.map(e => parseFloat(style(e).fontSize))),
  cut: cells.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent),
  images: [...document.images].map(i => [i.complete, i.naturalWidth, i.alt]),
  unlabelled: document.querySelectorAll('svg:not([aria-label])').length,
  back: style(document.body).backgroundColor, ink: style(document.body).color,
  drawn: [...document.querySelectorAll('figure svg text, figure svg g')].slice(0, 1)
      .map(e => style(e).fill),
  scrolled: [...document.querySelectorAll('.scroll')].filter(e => {
      if (e.scrollWidth <= e.clientWidth) return false;
      e.scrollLeft = 1e6; const moved = e.scrollLeft > 0; e.scrollLeft = 0; return !moved}).length,
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths[1]))
    yield driver
    driver.quit()


def blobs(seed, shape=(300, 420)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, [-(-size // 23) for size in shape])
    return np.kron(coarse, np.ones((23, 23), np.uint8))[: shape[0], : shape[1]].astype(np.uint8)


def write_evaluation(folder):
    labels = blobs(0)
    mask, other = np.roll(labels, (2, 3), (0, 1)), np.roll(labels, (6, 1), (0, 1))
    scores = np.stack([np.where(mask == k, 200, 27) for k in range(3)]).astype(np.uint8)
    image = np.random.default_rng(0).integers(0, 255, (3, *labels.shape)).astype(np.uint8)
    arrays = {"mask": mask, "labels": labels, "other": other, "scores": scores, "image": image}
    files = {
        name: write_raster(folder / f"{name}_{'with_a_very_long_name' * 3}.tif", array)
        for name, array in arrays.items()
    }
    options = EvaluateOptions(
        classes="background,<script>alert(1)</script>,Wald & Wiese mit sehr langem Namen",
        scores=(files["scores"],), compare=(files["other"],), images=(files["image"],),
        report=folder / "report.html", block=64, metrics=("all",), bootstrap=100,
    )  # fmt: skip
    evaluate(files["mask"], files["labels"], options)
    return folder / "report.html"


def write_training(folder):
    labels = blobs(0).clip(0, 1)
    rng = np.random.default_rng(0)
    image = (rng.integers(0, 50, (3, *labels.shape)) + 100 * labels).astype(np.uint8)
    options = TrainOptions(
        architecture="unet", width=4, depth=2, chip=32, batch=8, epochs=1, device="cpu",
        precision="float32", val_fraction=0.4, classes="<b>ground</b>,roof",
    )  # fmt: skip
    scene = write_raster(folder / "town.tif", image)
    train([scene], [write_raster(folder / "labels.tif", labels)], folder / "run", options)
    return folder / "run" / "report.html"


@pytest.fixture(scope="module", params=[write_evaluation, write_training])
def page(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geounet.training.options.EPOCH_CHIPS", (48, 48))
        return request.param(tmp_path_factory.mktemp("page"))


def show(browser, page, width, scheme="light"):
    """Open the page; what is measured of it, and the addresses that it asked for."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get(page.as_uri())
    measured = browser.execute_script(MEASURE)
    assert browser.get_log("browser") == []  # the console
    events = [json.loads(item["message"])["message"] for item in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return measured, [url for url in asked if not url.startswith("data:")]


@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_and_asks_nobody(browser, page, width):
    measured, asked = show(browser, page, width)
    assert asked == [page.as_uri()]
    assert measured["width"] <= measured["inner"] <= width
    assert measured["wide"] == []
    assert measured["images"]
    assert all(done and pixels > 0 and alt for done, pixels, alt in measured["images"])
    assert measured["unlabelled"] == 0
    assert measured["tables"] >= 2
    assert measured["least"] >= 12
    assert measured["cut"] == []
    assert measured["scrolled"] == 0


def test_light_and_dark_are_what_they_say(browser, page):
    inks = {}
    for scheme in ("light", "dark"):
        measured, _ = show(browser, page, 1200, scheme)
        shades = [sum(map(int, measured[k][4:-1].split(","))) / 3 for k in ("back", "ink")]
        inks[scheme] = shades
        assert measured["drawn"] == [measured["ink"]]  # figures are drawn in the ink of the page
    assert inks["light"][0] > 240 > 60 > inks["light"][1]
    assert inks["dark"][0] < 40 < 200 < inks["dark"][1]


def test_in_print_it_is_light_and_nothing_is_cut(browser, page, tmp_path):
    show(browser, page, 1200, "dark")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_cdp_cmd(  # A4 without margins, at 96 dpi
        "Emulation.setDeviceMetricsOverride",
        {"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": False},
    )
    measured = browser.execute_script(MEASURE)
    assert sum(map(int, measured["back"][4:-1].split(","))) > 720
    overflow = "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - 688)"
    assert max(browser.execute_script(overflow)) <= 1
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    (tmp_path / "page.pdf").write_bytes(base64.b64decode(pdf["data"]))
    if shutil.which("pdftotext"):
        command = ["pdftotext", "-layout", tmp_path / "page.pdf", "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "IoU" in text
        assert "precision" in text
