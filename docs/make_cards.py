"""Writes the model cards `docs/zoo/<entry>.md` and the table of entries in `docs/zoo.md`, from the recipes.

Run from a checkout: `make cards`. A test fails while they are stale.
"""

from pathlib import Path

from keras_fvvae.recipes import list_recipes
from keras_fvvae.recipes.cards import card, with_table

ROOT = Path(__file__).parents[1]


def main():
    """Writes the cards and removes those of entries that are gone."""
    folder = ROOT / "docs" / "zoo"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.md"):
        if path.stem not in list_recipes():
            path.unlink()
    for name in list_recipes():
        (folder / f"{name}.md").write_text(card(name), encoding="utf-8")
    page = ROOT / "docs" / "zoo.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
