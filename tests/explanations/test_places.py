"""How much of what speaks for a class lies in a known place."""

import numpy as np
import pytest

from keras_fvvae.explanations.places import inside


def test_all_and_nothing():
    contributions = np.full((8, 10), -1.0)
    contributions[3, 4] = 2.0
    assert inside(contributions, (0.4, 0.375, 0.5, 0.5)) == (1.0, 9 / 80, True)
    elsewhere = inside(contributions, (0.8, 0.0, 0.9, 0.1))
    assert (elsewhere.share, elsewhere.is_largest) == (0, False)


def test_what_has_no_place_has_the_share_of_the_area():
    share, area, _ = inside(np.ones((20, 20)), (0.25, 0.5, 0.5, 0.75))
    assert share == pytest.approx(area) == 49 / 400


def test_at_the_border():
    share, area, _ = inside(np.ones((4, 4)), (0.9, 0.9, 1.0, 1.0))
    assert share == area == 4 / 16


def test_without_positive_contributions():
    assert inside(np.full((2, 2), -1.0), (0.0, 0.0, 1.0, 1.0)) == (0.0, 1.0, False)
