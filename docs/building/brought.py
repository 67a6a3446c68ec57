"""Pages of the site whose files lie outside of `docs/`, where readers of the repository look for them."""

import posixpath
import re

# By the file's path in the repository its address on the site.
FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "deploy/README.md": "deploy.md",
    "deploy/Dockerfile": "deploy/Dockerfile",
    "deploy/kserve.yaml": "deploy/kserve.yaml",
    "deploy/grafana-dashboard.json": "deploy/grafana-dashboard.json",
    "CITATION.cff": "CITATION.cff",
}
# A page on the site that stands for a folder.
FOLDERS = {"docs/benchmarks": "benchmarks/all.md", "docs/zoo": "zoo.md", "deploy": "deploy.md"}
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def pages(root):
    """The files' Markdown by address, links as on the site."""
    return {
        address: with_site_links((root / path).read_text(encoding="utf-8"), address, path)
        for path, address in FILES.items()
    }


def with_site_links(markdown, address, path=None):
    """Markdown whose relative links lead to the same pages on the site.

    Args:
        markdown: of a page.
        address: the page's on the site, below `docs/`.
        path: its file's in the repository. Default: the same below `docs/`.
    """
    folder = posixpath.dirname(path or f"docs/{address}")

    def mended(link):
        target = posixpath.normpath(posixpath.join(folder, link[2]))
        if target in FILES or target in FOLDERS:
            new = FILES.get(target) or FOLDERS[target]
        elif path is not None and target.startswith("docs/"):
            new = target.removeprefix("docs/")
        else:
            return link[0]
        return link[1] + posixpath.relpath(new, posixpath.dirname(address) or ".")

    return LINK.sub(mended, markdown)
