"""The site: all pages are in its navigation, no warning, links that hold, nothing loaded from elsewhere."""

import functools
import html.parser
import http.server
import re
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
import yaml
from keras_fvvae.tools.main import COMMANDS

import keras_fvvae
from keras_fvvae.recipes import Recipe
from tests.support import chromium

ROOT = Path(__file__).parents[1]
PACKAGES = ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml")
# Loaded when a page is shown; links that a reader has to click on may lead anywhere.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


def _in_navigation(entries):
    for entry in entries:
        for target in [entry] if isinstance(entry, str) else entry.values():
            yield from [target] if isinstance(target, str) else _in_navigation(target)


def _navigation():
    text = re.sub(r"!!\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return list(_in_navigation(yaml.safe_load(text)["nav"]))


def test_navigation_names_every_page():
    named = _navigation()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages - set(named) == set()
    assert len(named) == len(set(named))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    for name in PACKAGES:
        pytest.importorskip(name, reason=f"the site needs {name}: pip install 'keras_fvvae[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # What `make docs` runs.
    command = [sys.executable, ROOT / "docs" / "make_site.py", "--out", folder]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    return folder


class _Page(html.parser.HTMLParser):
    """What a page is made of: the ids of its elements, where its links lead, what it loads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.is_plain = set(), [], [], True
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.is_plain &= tag not in ("img", "table")
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif tag in LOADED and attributes.get(LOADED[tag]):
            self.loads.append(attributes[LOADED[tag]])


@pytest.fixture(scope="module")
def pages(site):
    return {path: _Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_built(site, pages):
    assert {path.relative_to(site).with_suffix(".md").as_posix() for path in pages} == set(_navigation())


def test_links_lead_to_pages_and_headings(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            anchor = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids | {"__skip"}):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site, pages):
    outside = re.compile(r"^(https?:)?//")
    assert [load for page in pages.values() for load in page.loads if outside.match(load)] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", style.read_text(encoding="utf-8")) == []


def test_formulas_are_drawn(site):
    text = (site / "theory.html").read_text(encoding="utf-8")
    assert text.count("<math") > 100
    assert all("arithmatex" not in path.read_text(encoding="utf-8") for path in site.rglob("*.html"))


def test_reference_has_all_that_is_public(site):
    for part in keras_fvvae._PARTS:
        page = (site / "reference" / f"{part}.html").read_text(encoding="utf-8")
        for name in getattr(getattr(keras_fvvae, part), "__all__", ()):
            assert f"{part}.{name}" in page, (part, name)
    commands = _Page(site / "reference" / "commands.html").ids
    assert {name for name in COMMANDS if name not in ("activitynet", "data", "zoo")} <= commands
    keys = (site / "reference" / "recipe_keys.html").read_text(encoding="utf-8")
    assert all(f"<code>{name}</code>" in keys for name in Recipe.__dataclass_fields__)


# In a process of its own: others that a test has started loggers for, Ray for example, silence those of mkdocs.
BROKEN = """
import sys
sys.path.insert(0, "docs")
import make_site
made = make_site.made_pages()
make_site.made_pages = lambda: made | {"index.md": "# Home\\n\\n[away](nowhere.md)\\n"}
make_site.make_site(sys.argv[1])
"""


def test_a_broken_link_is_an_error(site, tmp_path):
    done = subprocess.run([sys.executable, "-c", BROKEN, tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "'nowhere.md', but the target is not found" in done.stderr


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def browser(site, tmp_path):
    """A page in Chromium, and the address of the served site."""
    if chromium.find() is None:
        pytest.skip(f"needs one of {', '.join(chromium.NAMES)}")
    handler = functools.partial(_Handler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium.open_page(tmp_path / "profile") as page:
            yield page, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_pages_fit_a_telephone_and_ask_nobody(browser):
    page, address = browser
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    for name in ("index", "theory", "why", "results/compare_birds/results", "reference/layers", "reference/commands"):
        page.open(f"{address}{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    assert [url for url in page.requested if not url.startswith((address, "data:"))] == []
    assert page.problems == []


def test_zoo_is_filtered(browser):
    page, address = browser
    page.open(f"{address}zoo.html")
    page.wait_for("document.querySelector('.zoo-filter') !== null")
    field = "document.querySelector('.zoo-filter')"
    page.evaluate(f"{field}.value = 'UCF101 flow'; {field}.dispatchEvent(new Event('input'))")
    rows = "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetHeight)"
    shown = f"{rows}.map(row => row.cells[0].innerText.trim()).join()"
    assert page.evaluate(shown) == "ucf101_actionvlad_flow,ucf101_pool5_flow"


def test_long_pages_have_a_picture_or_a_table(browser, site, pages):
    """Over three screens of 1280x800."""
    page, address = browser
    page.call("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    screens = {}
    for path in (path for path, read in pages.items() if read.is_plain):
        url = f"{address}{path.relative_to(site).as_posix()}"
        page.open(url)
        page.wait_for(f"location.href === {url!r} && document.readyState === 'complete'")
        screens[url] = page.evaluate("document.querySelector('article').scrollHeight") / 800
    assert screens, "none is looked at"
    assert {url: height for url, height in screens.items() if height > 3} == {}
