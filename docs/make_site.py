"""Builds the site from `docs/` and what is made for it, into `site/`; a warning is an error.

Run from a checkout: `make docs`. All pages are laid out as Markdown in a folder first, so that the builder needs no
plugin of ours.
"""

import argparse
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")  # an advertisement of Zensical; CONTRIBUTING.md says what we do

from building import api, brought, commands, formulas, notebooks, recipe_keys
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parents[1]


def made_pages():
    """Markdown by address of the pages that no file in `docs/` holds."""
    return {
        **brought.pages(ROOT),
        **api.pages(ROOT),
        **notebooks.pages(ROOT),
        "reference/commands.md": commands.page(),
        "reference/recipe_keys.md": recipe_keys.page(),
    }


def lay_out(folder):
    """Writes all pages and pictures of the site into an empty folder."""
    shutil.copytree(
        ROOT / "docs", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "building", "__pycache__")
    )
    for path in folder.rglob("*.md"):
        address = path.relative_to(folder).as_posix()
        path.write_text(brought.with_site_links(path.read_text(encoding="utf-8"), address), encoding="utf-8")
    for address, content in made_pages().items():
        path = folder / address
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def make_site(site):
    """Builds the site.

    Args:
        site: the folder; what is in it is replaced.

    Raises:
        Abort: if there was a warning, such as a link to a page or heading that is not there.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        build(load_config(str(ROOT / "mkdocs.yml"), docs_dir=folder, site_dir=str(site), strict=True))
    for path in Path(site).rglob("*.html"):
        path.write_text(formulas.drawn(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default=ROOT / "site", help="folder of the site")
    out = Path(parser.parse_args().out).absolute()
    try:
        make_site(out)
    except Abort:
        sys.exit("The site was not built: mend what the warnings name.")
    print(f"{out / 'index.html'}")
