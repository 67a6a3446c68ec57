"""Rows of tables of hostile input: what it must end in, a value or one sentence."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from keras_fvvae.errors import KerasFVVAEError

# Longer ones repeat their input; that of an unknown key names all known ones.
MOST_CHARACTERS = 2000


class Refused(NamedTuple):
    """One sentence that a pattern is found in."""

    pattern: str


class Close(NamedTuple):
    """Numbers, but for so much."""

    value: Any
    tolerance: float


def check(call, expected, errors=(KerasFVVAEError, ValueError)):
    """Calls and compares: with a value, or with the sentence of an error of the library's own or a `ValueError`."""
    if isinstance(expected, Refused):
        with pytest.raises(errors) as caught:
            call()
        check_sentence(str(caught.value), expected.pattern)
        return
    found = call()
    if isinstance(expected, Close):
        np.testing.assert_allclose(np.asarray(found, "float64"), expected.value, atol=expected.tolerance)
    else:
        assert found == expected


def check_sentence(text, pattern):
    """One line, short, printable, without what only a developer can read, and the right one."""
    assert text
    assert "\n" not in text
    assert len(text) < MOST_CHARACTERS
    text.encode("utf-8", "surrogateescape")
    assert "Traceback" not in text
    assert not re.search(r"<.* object at 0x", text)
    assert re.search(pattern, text), text
