"""Model cards and the table of entries are what the recipes say now."""

from pathlib import Path

import pytest

from keras_fvvae.errors import RecipeError
from keras_fvvae.recipes import list_recipes
from keras_fvvae.recipes.cards import card, table, with_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", list_recipes())
def test_the_card_is_not_stale(name):
    path = ROOT / "docs" / "zoo" / f"{name}.md"
    assert path.is_file(), "run `make cards`"
    assert path.read_text(encoding="utf-8") == card(name), "run `make cards`"


def test_no_card_of_an_entry_that_is_gone():
    assert sorted(path.stem for path in (ROOT / "docs" / "zoo").glob("*.md")) == list_recipes()


def test_the_page_is_not_stale():
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8")
    assert page == with_table(page), "run `make cards`"
    assert len(table().splitlines()) == 2 + len(list_recipes())


def test_a_card_tells_what_matters():
    text = card("cub200_conv5_4_box")
    for part in ("# cub200_conv5_4_box", "boxes: true", "Table 6", "FV-VAE 79.5", "lambda3=0", "Wah et al."):
        assert part in text
    assert "| `lambda1` | 1 |" in text  # a default without which the figures could not be judged
    assert "damping" not in text  # another
    assert "| `frames` |" not in text
    shipped = card("digits_conv")
    assert "ship with the package" in shipped
    assert "`make weights`" in shipped
    with pytest.raises(RecipeError, match="did you mean"):
        card("digit_conv")


def test_a_page_without_a_place_for_the_table():
    with pytest.raises(ValueError, match="must hold"):
        with_table("nothing")
