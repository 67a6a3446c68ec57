"""Names in figures: whatever folders and files are called, it is drawn, and never taken for a formula."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import matplotlib

if TYPE_CHECKING:
    from matplotlib.legend import Legend

# Figures go into files, without windows. A backend that the caller has chosen, as notebooks do, stays.
if "MPLBACKEND" not in os.environ and "matplotlib.pyplot" not in sys.modules:
    matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import font_manager

from keras_fvvae.utils.text import printable

# Okabe and Ito's palette: told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Matplotlib's hints want its own names for keys.
STYLE: Any = {
    "figure.dpi": 144,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
# Characters of a name that leave room for the figure beside it.
NAME_WIDTH = 40
FIRST_FONT = "DejaVu Sans"  # comes with matplotlib
# Has a box for every character, and no glyph.
_LAST_RESORT = "Last Resort"


def shown(name: str, width: int = NAME_WIDTH) -> str:
    """A name as a figure shows it: printable, and shortened in its middle.

    Example:
        >>> shown("a" * 300, 9), shown("caf\\udce9")
        ('aaaa…aaaa', 'caf\\\\xe9')
    """
    name = printable(name)
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"


@contextlib.contextmanager
def style(names: Iterable[str] = (), **changes: Any) -> Iterator[None]:
    """Matplotlib's settings for a figure that shows names.

    Args:
        names: as `shown` gives them: fonts that have their characters are taken where any are installed.
        **changes: of other settings, with `_` for `.`.
    """
    family = [FIRST_FONT, *fonts_for(frozenset("".join(names)))]
    settings: Any = {**STYLE, **{key.replace("_", "."): value for key, value in changes.items()}}
    with plt.rc_context({**settings, "text.parse_math": False, "font.family": family}):
        yield


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """While a figure is drawn: a character without a glyph is a box, of which nobody needs to be warned again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def named_legend(axis: Any, handles: list[Any], names: list[str], **options: Any) -> Legend:
    """A legend of any names: matplotlib leaves out those that begin with `_`."""
    legend = axis.legend(handles, [str(number) for number in range(len(handles))], **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
    return legend


@functools.lru_cache
def fonts_for(characters: frozenset[str]) -> tuple[str, ...]:
    """Names of installed fonts that together have the characters which the first font lacks, as far as there are."""
    wanted = {ord(character) for character in characters}
    wanted -= _characters_of(font_manager.findfont(FIRST_FONT))
    chosen: list[str] = []
    for entry in font_manager.fontManager.ttflist if wanted else ():
        if _LAST_RESORT in entry.name or entry.style != "normal" or entry.name in chosen:
            continue
        if found := wanted & _characters_of(entry.fname):
            chosen.append(entry.name)
            wanted -= found
        if not wanted:
            break
    return tuple(chosen)


def _characters_of(path):
    try:
        return font_manager.get_font(path).get_charmap().keys()
    except (OSError, RuntimeError):  # a font that FreeType does not read
        return set()
