"""The web page in a real browser."""

import shutil

import numpy as np
import pytest

from keras_fvvae.serving import ModelConfig, Server, ServerSettings
from tests.serving.conftest import png
from tests.serving.searching.model import NAMES, build_index
from tests.support import chromium
from tests.support.video_files import write_video

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="needs Chromium")
TEXT = "document.getElementById('%s').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.open_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser, server):
    browser.open(f"{server.url}/")
    browser.requested.clear()
    browser.problems.clear()
    browser.wait_for("document.getElementById('model').options.length === 3")
    return browser


@pytest.fixture
def search_page(browser, search_model, indexed_files, tmp_path):
    """The page of a server with an index whose first name is markup, and whose last file has gone."""
    folder = tmp_path / "files"
    shutil.copytree(indexed_files, folder)
    index = build_index(tmp_path / "index", folder)
    index.items.names[0] = "<img src=x onerror=alert(1)>"
    (folder / NAMES[-1]).unlink()
    models = [ModelConfig("colors", str(search_model), index=index)]
    with Server(models, ServerSettings(port=0, grpc_port=None)).running() as server:
        browser.open(f"{server.url}/")
        browser.requested.clear()
        browser.problems.clear()
        browser.wait_for("document.getElementById('model').options.length === 1")
        yield browser, server, folder


def classified(page, path, model):
    page.evaluate(f"document.getElementById('model').value = '{model}'")
    page.choose_file("#file", path)
    page.wait_for("!document.getElementById('result').hidden")
    return page.evaluate("[...document.querySelectorAll('#labels li')].map((item) => item.innerText.split(/\\s+/))")


def test_probabilities_and_none_of_these(page):
    """What the outputs of a calibrated export look like."""
    shown = """(() => {
        render({
            outputs: {labels: [["red", "blue"]], label_scores: [[1, -2]],
                label_probabilities: [[0.41, 0.034]], answer: ["%s"]},
            pictures: [null], heatMaps: [], times: [0], curves: [], seconds: 0.1,
        });
        const text = (item) => item.innerText.split(/\\s+/).join(" ");
        const items = [...document.querySelectorAll("#labels li")].map(text);
        return [items, document.getElementById("none").hidden, document.getElementById("meaning").textContent];
    })()"""
    items, hidden, meaning = page.evaluate(shown % "")
    assert items == ["red 41 %", "blue 3.4 %"]
    assert not hidden
    assert meaning.startswith("Probabilities")
    assert page.evaluate(shown % "red")[1]


def test_image(page, server, tmp_path):
    """The left half is red, so that the left half of the heat map is for the label."""
    import tensorflow as tf

    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = 255
    path = tmp_path / "half.png"
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    assert classified(page, path, "images") == [["red", "+0.50"], ["green", "+0.00"]]
    assert page.evaluate(TEXT % "heat-label") == "red"
    assert page.evaluate("[picture.width, picture.height, heat.width, heat.height]") == [60, 40, 4, 4]
    opacity = page.evaluate("[...heat.getContext('2d').getImageData(0, 0, 4, 4).data].filter((_, i) => i % 4 === 3)")
    opacity = np.reshape(opacity, (4, 4))
    assert (opacity[:, :2] > 150).all()
    assert (opacity[:, 2:] == 0).all()
    assert page.evaluate("document.getElementById('curve-section').hidden")
    assert not page.problems
    assert all(url.startswith((server.url, "blob:", "data:")) for url in page.requested)
    page.evaluate("document.getElementById('show-heat').click()")
    assert page.evaluate("document.getElementById('heat').hidden")


def test_video(page, tmp_path):
    """First red, then blue: the curves cross in the middle."""
    frames = np.zeros((20, 64, 64, 3), np.uint8)
    frames[:10, ..., 0] = 250
    frames[10:, ..., 2] = 250
    path = write_video(tmp_path / "video.webm", frames, codec="libvpx")
    labels = classified(page, path, "videos")
    assert {label for label, _ in labels} == {"red", "blue"}
    points = page.evaluate(
        "[...document.querySelectorAll('#curve polyline')].map((line) => line.getAttribute('points'))"
    )
    curves = dict(zip([label for label, _ in labels], points, strict=True))
    heights = {label: [float(p.split(",")[1]) for p in text.split()] for label, text in curves.items()}
    assert len(heights["red"]) == 25
    # Up is a small y.
    assert max(heights["red"][:10]) < min(heights["red"][-10:])
    assert min(heights["blue"][:10]) > max(heights["blue"][-10:])
    assert not page.evaluate("document.getElementById('time').hidden")
    assert not page.problems


@pytest.mark.parametrize(
    ("model", "content", "message"),
    [
        ("images", b"no image", "Unknown image file format"),
        ("videos", b"no video", "The video cannot be used: not a video that FFmpeg reads"),
    ],
)
def test_files_that_cannot_be_used(page, tmp_path, model, content, message):
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    page.evaluate(f"document.getElementById('model').value = '{model}'")
    page.choose_file("#file", path)
    page.wait_for("document.getElementById('message').classList.contains('error')")
    assert message in page.evaluate(TEXT % "message")
    assert page.evaluate("document.getElementById('result').hidden")


def test_names_of_files_are_text(page, tmp_path):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(png((255, 0, 0)))
    classified(page, path, "images")
    assert page.evaluate("document.querySelectorAll('img').length") == 0


def test_neighbours_and_what_they_have_in_common(search_page):
    page, server, folder = search_page
    page.choose_file("#file", folder / NAMES[0])
    page.wait_for("!document.getElementById('search-section').hidden")
    cards = "[...document.querySelectorAll('#neighbours button')]"
    texts = page.evaluate(f"{cards}.map((card) => [...card.querySelectorAll('span')].map((one) => one.textContent))")
    assert texts[0] == ["1.000, the same file", "red", "<img src=x onerror=alert(1)>"]
    assert {label for _, label, _ in texts[:4]} == {"red"}
    assert len(texts) == 8
    # Pictures of all but the file that has gone, and what they show is not only asked for but decoded.
    images = "[...document.querySelectorAll('#neighbours img')]"
    page.wait_for(f"{images}.length === 7 && {images}.every((one) => one.naturalWidth === 5)")
    page.evaluate(f"{cards}[2].click()")
    page.wait_for("!document.getElementById('match-section').hidden")
    sizes = "['query-heat', 'match-heat', 'match-picture'].map((id) => [$(id).width, $(id).height])"
    assert page.evaluate(sizes) == [[4, 4], [4, 4], [5, 6]]
    assert page.evaluate(TEXT % "match-title") == texts[2][0]
    assert page.evaluate(TEXT % "match-name") == texts[2][2]
    assert page.evaluate(f"{cards}.map((card) => card.ariaPressed).indexOf('true')") == 2
    gone = f"{server.url}/v1/models/colors/items/7"
    assert [one.get("url") for one in page.problems] == [gone]
    assert all(url.startswith((server.url, "blob:", "data:")) for url in page.requested)
    # Of one whose file has gone the query's side is there, and the reason for the other.
    page.evaluate(f"{cards}.find((card) => card.textContent.includes('{NAMES[-1]}')).click()")
    page.wait_for("document.getElementById('match-heat').hidden")
    assert page.evaluate(TEXT % "match-note") == f"The file of '{NAMES[-1]}' is not there any more."
    # Another file, and all of it is new.
    page.choose_file("#file", folder / NAMES[4])
    page.wait_for("document.querySelector('#neighbours')?.textContent.startsWith('1.000, the same filegreen')")
    assert page.evaluate("document.getElementById('match-section').hidden")


def test_drop(page):
    """A file that is dropped anywhere on the page."""
    page.evaluate(
        "new Promise(async (done) => {"
        "const canvas = new OffscreenCanvas(8, 8); const context = canvas.getContext('2d');"
        "context.fillStyle = '#00ff00'; context.fillRect(0, 0, 8, 8);"
        "const data = new DataTransfer();"
        "data.items.add(new File([await canvas.convertToBlob()], 'a.png', { type: 'image/png' }));"
        "document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));"
        "done(); })"
    )
    page.wait_for("!document.getElementById('result').hidden")
    assert page.evaluate("document.querySelector('#labels li').innerText.startsWith('green')")
