"""Pages of the notebooks: their text and code as it stands in them; a slow test executes them."""

import json


def pages(root):
    """Markdown by address."""
    return {f"notebooks/{path.stem}.md": _page(path) for path in sorted((root / "notebooks").glob("*.ipynb"))}


def _page(path):
    title, *cells = (_cell(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])
    note = f"*This page is `notebooks/{path.name}` of a checkout, without its outputs.*"
    return "\n\n".join([title, note, *cells]) + "\n"


def _cell(cell):
    text = "".join(cell["source"])
    return f"```python\n{text}\n```" if cell["cell_type"] == "code" else text
