"""The page can be read by everybody: without colours, without pictures, on a phone, on paper, and without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from common.cohort import Cohort
from common.report import Picture, RunRecord, Story, drawing, page, write_comparison, write_report
from common.report.drawing import PAPER, svg
from common.report.scan_views import scan_views
from tests.report.pages import Text

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

DEFICIENCIES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""How people without one kind of cones see linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)."""


STYLES = (Path(drawing.__file__).parent / "templates" / "stylesheet.css").read_text()
LIGHT, DARK, PRINT = np.reshape(re.findall(r"--series-\d: (#\w{6})", STYLES), (3, 4)).tolist()
COLOURS = {
    "paper": PAPER.series,
    "light": LIGHT,
    "dark": DARK,
    "print": PRINT,
    "outlines": (PAPER.reference, *PAPER.outlines),
}


def seen(colour: str, matrix: list[list[float]]) -> np.ndarray:
    """A colour as it is seen, in CIELAB."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    found = np.clip(np.array(matrix) @ linear, 0, 1)
    return rgb2lab(np.where(found <= 0.0031308, 12.92 * found, 1.055 * found ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("colours", COLOURS.values(), ids=COLOURS)
def test_colours_differ_for_the_colour_blind(deficiency: str, colours: Sequence[str]) -> None:
    """By at least 10 in CIEDE2000, of which 2 can just be noticed."""
    given = [seen(colour, DEFICIENCIES[deficiency]) for colour in colours]
    assert min(float(deltaE_ciede2000(*pair)) for pair in combinations(given, 2)) > 10


@pytest.fixture(scope="module")
def html(runs: Path, cohort: Cohort) -> str:
    """The page of two runs, one of which had rounds."""
    return write_report(runs, cohort.folder).read_text(encoding="utf-8")


def test_every_picture_says_what_it_shows(html: str) -> None:
    shown = Text(html)
    pictures = [attributes for tag, attributes in shown.attributes if tag in ("svg", "img")]
    assert len(pictures) >= 9
    assert all(len(it.get("aria-label") or it.get("alt") or "") > 20 for it in pictures)
    assert all(it["role"] == "img" for it in pictures)


def test_headings_are_in_order(html: str) -> None:
    levels = [int(tag[1]) for tag in Text(html).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= former + 1 for former, later in pairwise(levels))


def test_the_page_says_its_language_and_width(html: str) -> None:
    attributes = Text(html).attributes
    assert ("html", {"lang": "en"}) in attributes
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in attributes
    assert "@media print" in html


def test_nothing_is_loaded(html: str) -> None:
    loaded = re.findall(r"(?:src|href|action|data)=\"([^\"]*)\"", html)
    assert loaded and all(it.startswith(("#", "data:image/png;base64,")) for it in loaded)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, "names of XML, not addresses"


def test_alternatives_are_escaped() -> None:
    image = np.zeros((4, 4, 4), np.float32)
    picture = Picture("a", "prediction", image, None, {}, dict.fromkeys(("axial", "coronal", "sagittal"), 1), (1, 1, 1))
    assert 'aria-label="&lt;b&gt; &quot;a&quot;"' in svg(scan_views(picture), "name", '<b> "a"')


def noise(side: int) -> Picture:
    """A scan that hardly can be compressed."""
    image = np.random.default_rng(0).random((side, side, 8), dtype=np.float32)
    outlines = {"run": np.zeros(image.shape, np.uint8)}
    return Picture("a", "prediction", image, None, outlines, {"axial": 1, "coronal": 1, "sagittal": 1}, (1, 1, 1))


def test_large_slices_are_shown_by_means_of_several_voxels() -> None:
    (axial, *_) = scan_views(noise(100), pixels=40).axes
    (shown,) = axial.images
    assert shown.get_array().shape == (33, 33)
    assert shown.get_extent() == [0, 99, 0, 99]
    block = noise(100).image[:3, :3, 1]
    low, high = np.percentile(noise(100).image, (0.5, 99.7))
    expected = 255 * np.clip((block - low) / (high - low), 0, 1).mean()
    assert shown.get_array()[0, 0] == pytest.approx(expected, abs=1)


def test_a_page_that_would_be_too_large_has_smaller_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story("Title", (RunRecord("run", "Run"),), pictures=(noise(200),))
    module = sys.modules[page.__module__]
    monkeypatch.setattr(module, "PIXELS", 200)
    whole = len(page(story).encode())
    monkeypatch.setattr(module, "LIMIT", whole)
    assert len(page(story).encode()) < whole - 10_000
    monkeypatch.setattr(module, "LIMIT", 1000)
    with pytest.raises(ValueError, match="report on fewer runs"):
        page(story)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium, for instance Debian's package `chromium`")
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page_in_a_browser(width: int, runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    """A script that is added here measures what the browser made of the page."""
    path = write_comparison([runs / "fmabs", runs / "supervised"], tmp_path, cohort.folder)
    measured = "document.title = [document.documentElement.scrollWidth, inner, outside].join(' ')"
    outside = (
        "const inner = document.documentElement.clientWidth; "
        "const all = [...document.querySelectorAll('main *')].filter(it => !it.closest('.drawing, .scroll')); "
        "const outside = all.filter(it => it.getBoundingClientRect().right > inner + 1).map(it => it.tagName)"
    )
    html = path.read_text().replace("</body>", f"<script>{outside}; {measured}</script></body>")
    frame = f'<iframe src="page.html" width="{width}" height="900" style="border:0"></iframe>'
    report = "<script>onload = () => { document.title = frames[0].document.title }</script>"
    (tmp_path / "page.html").write_text(html)
    (tmp_path / "frame.html").write_text(f"<html><head>{report}</head><body>{frame}</body></html>")
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    dumped = browse(*words, "--dump-dom", f"file://{tmp_path / 'frame.html'}")
    (title,) = re.findall(r"<title>(.*)</title>", dumped)
    scrolled, inner, *wide = title.split()
    assert width - 20 <= int(inner) <= width, "but for a bar to scroll with"
    assert int(scrolled) <= int(inner) and not wide, f"wider than the page: {wide}"
    browse(*words, f"--window-size={max(width, 500)},2000", f"--screenshot={tmp_path / 'page.png'}", f"file://{path}")
    assert len(np.unique(np.asarray(Image.open(tmp_path / "page.png").convert("L")))) > 50


def browse(*words: str) -> str:
    assert BROWSER is not None
    done = subprocess.run([BROWSER, *words], capture_output=True, text=True, timeout=600, env={**os.environ})
    assert done.returncode == 0, done.stderr
    return done.stdout
