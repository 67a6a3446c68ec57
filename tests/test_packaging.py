"""The wheel holds everything: built, installed apart from the checkout, and used from an empty folder."""

import re
import shutil
import subprocess
import sys
import tarfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import keras_fvvae

ROOT = Path(__file__).parents[1]
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the installed wheel; the dependencies are those of the running environment."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True, cwd=folder, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.stat().st_size < MOST_BYTES
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True, capture_output=True)
    return target


@pytest.mark.system
def test_wheel_works_from_an_empty_folder(site, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import keras_fvvae\n"
        "assert keras_fvvae.__file__.startswith(sys.argv[1]), keras_fvvae.__file__\n"
        "model = keras_fvvae.zoo.load('digits_conv')\n"  # embedded weights: their SHA-256 is checked
        "print(model.fvvae.num_classes, keras_fvvae.zoo.list_entries())\n"
        "from importlib import resources\n"
        "assert (resources.files('keras_fvvae') / 'reporting' / 'templates' / 'report.html').is_file()\n"
        "assert (resources.files('keras_fvvae') / 'serving' / 'static').is_dir()\n"
        "assert (resources.files('keras_fvvae') / 'py.typed').is_file()\n"
        "sys.argv = ['keras-fvvae', 'zoo', 'list']\n"
        "from keras_fvvae.tools.main import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(site)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    first, *listed = result.stdout.splitlines()
    assert first.startswith("10 ['activitynet_pool5', ")
    assert {"digits_conv", "image_folder", "video_folder", "ucf101_res5c"} <= set(listed)
    assert list(tmp_path.iterdir()) == []


def test_console_script_is_declared(site):
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "keras-fvvae = keras_fvvae.tools.main:main" in entry_points.read_text()


def test_tests_and_benchmarks_are_not_installed(site):
    assert sorted(p.name for p in site.iterdir() if p.suffix != ".dist-info" and p.name != "bin") == ["keras_fvvae"]


def _requirements(metadata):
    """By extra what it requires."""
    found = {extra: set() for extra in metadata.get_all("Provides-Extra")}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, extra = line.partition("; extra == ")
        if extra:
            found[extra.strip("\"'")].add(requirement)
    return found


def test_version(site):
    (path,) = site.glob("*.dist-info/METADATA")
    assert HeaderParser().parsestr(path.read_text(encoding="utf-8"))["Version"] == keras_fvvae.__version__


def test_extras(site):
    (path,) = site.glob("*.dist-info/METADATA")
    metadata = HeaderParser().parsestr(path.read_text(encoding="utf-8"))
    extras = _requirements(metadata)
    of_users = extras.keys() - {"all", "test", "docs"}
    base = {line.partition(";")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert not [line for line in base if line.startswith(("av", "opencv"))], "images need neither"
    assert extras["all"] == set().union(*(extras[extra] for extra in of_users))
    table = re.search(r"\| extra \|.*?\n\n", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)[0]
    cells = " ".join(re.findall(r"^\|([^|]*)\|", table, flags=re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", cells)) == set(extras)


def test_source_distribution_has_what_a_build_reads(tmp_path):
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    # In a copy: setuptools writes beside setup.py.
    copy = tmp_path / "copy"
    for folder in ("keras_fvvae", "tools", "zoo"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, copy)
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=copy, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE", "CITATION.cff"} <= names
    assert {"keras_fvvae/__init__.py", "tools/main.py", "zoo/digits_conv.yaml"} <= names
    assert archive.stat().st_size < MOST_BYTES
