"""What a key of a recipe is: its default, what it accepts, and what it decides."""

from __future__ import annotations

import dataclasses
import enum
import math
import numbers
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from keras_fvvae.errors import RecipeError

# What keys decide, in the order of the work: a key changes its own stage and what comes after it, nothing before.
STAGES = ("data", "input", "backbone", "descriptors", "training", "encoding", "svm")
# Beside them: what a recipe says about itself. No number depends on it.
CARD = "card"


class Mark(enum.Flag):
    """What else is known of a key."""

    NONE = 0
    # It decides the shape of weights or what their input means: trained weights go with one value of it only.
    ARCHITECTURE = enum.auto()
    # No result can be judged without it: cards and reports show it with its default too.
    ESSENTIAL = enum.auto()
    # It speaks of videos only, or of FV-VAEs only.
    OF_VIDEOS = enum.auto()
    OF_FV_VAE = enum.auto()


class Accepts(NamedTuple):
    """What a key accepts. `None` is accepted beside it where it is the default.

    Attributes:
        test: function of a value, true where it can be used.
        description: of such values; its text is asked for when an error is written, so a registry may grow.
    """

    test: Callable[[Any], bool]
    description: object


class _OneOf:
    def __init__(self, options: Iterable[str]):
        self.options = options

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.options

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))


def one_of(options: Iterable[str]) -> Accepts:
    """A text among others: a tuple, or a registry that may grow.

    Example:
        >>> accepts = one_of(("map", "none"))
        >>> accepts.test("map"), accepts.test("l2"), f"{accepts.description}"
        (True, False, "one of 'map', 'none'")
    """
    choice = _OneOf(options)
    return Accepts(choice, choice)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _are_multipliers(value):
    if not isinstance(value, dict) or not all(_is_number(factor) and factor >= 0 for factor in value.values()):
        return False
    try:
        return all(re.compile(pattern) for pattern in value)
    except (re.error, TypeError):
        return False


def _are_weights(value):
    if not isinstance(value, dict) or not value:
        return value == {}
    if not all(isinstance(text, str) for text in value.values()) or not {"file", "url"} & value.keys():
        return False
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value.get("file", "plain"))
    return bool(plain and re.fullmatch("[0-9a-f]{64}", value.get("sha256", "")))


def _is_list_of(check):
    return lambda value: isinstance(value, list | tuple) and all(check(item) for item in value)


def _is_size(value):
    return _is_integer(value) and value > 0


POSITIVE_INTEGER = Accepts(_is_size, "a positive integer")
NOT_NEGATIVE = Accepts(lambda value: _is_number(value) and value >= 0, "a number, not negative")
POSITIVE = Accepts(lambda value: _is_number(value) and value > 0, "a positive number")
POSITIVE_INTEGERS = Accepts(_is_list_of(_is_size), "a list of positive integers")
SEED = Accepts(lambda value: _is_integer(value) and 0 <= value < 2**32, "an integer from 0 to 2**32 - 1")
COUNT = Accepts(lambda value: _is_integer(value) and value >= 0, "an integer, not negative")
SHARE = Accepts(lambda value: _is_number(value) and 0 <= value < 1, "a number in [0, 1)")
FLAG = Accepts(lambda value: isinstance(value, bool), "true or false")
LEVELS = Accepts(
    lambda value: bool(value) and POSITIVE_INTEGERS.test(value), "a list of positive integers, at least one"
)
MULTIPLIERS = Accepts(_are_multipliers, "a mapping from regular expressions to numbers, none negative")
# A name in it becomes a part of a path, its SHA-256 one too: neither may lead out of its folder.
WEIGHTS = Accepts(
    _are_weights, "empty, or a mapping with `sha256`, 64 hexadecimal digits in lower case, and `file`, a name, or `url`"
)
TEXT = Accepts(lambda value: isinstance(value, str), "text")
MAPPING = Accepts(lambda value: isinstance(value, dict), "a mapping")
LIST = Accepts(lambda value: isinstance(value, list), "a list")
MAPPINGS = Accepts(_is_list_of(lambda value: isinstance(value, dict)), "a list of mappings")


def key(decides: str, default: Any, accepts: Accepts, about: str, marks: Mark = Mark.NONE) -> Any:
    """A field of a dataclass of settings.

    Args:
        decides: one of `STAGES`, the first that the key changes; or `CARD`.
        default: its value where a recipe does not give one; lists and mappings are not shared.
        accepts: which values can be used.
        about: what it means, in a line.
        marks: what else is known of it.

    Raises:
        ValueError: for another `decides`.
    """
    if decides not in (*STAGES, CARD):
        raise ValueError(f"`decides` must be one of {(*STAGES, CARD)}. Received: decides={decides!r}")
    metadata = {"decides": decides, "accepts": accepts, "about": about, "marks": marks}
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def keys_until(settings: Any, stage: str) -> list[str]:
    """Names of the keys that decide a stage of the work or one before it.

    Two recipes that agree in these can share what the stage makes.

    Args:
        settings: a dataclass of keys, or an instance of it.
        stage: one of `STAGES`.
    """
    wanted = STAGES[: STAGES.index(stage) + 1]
    return [field.name for field in dataclasses.fields(settings) if field.metadata["decides"] in wanted]


def keys_of_card(settings: Any) -> list[str]:
    """Names of the keys on which no number depends."""
    return [field.name for field in dataclasses.fields(settings) if field.metadata["decides"] == CARD]


def marked_keys(settings: Any, mark: Mark) -> list[str]:
    """Names of the keys that carry a mark."""
    return [field.name for field in dataclasses.fields(settings) if mark in field.metadata["marks"]]


def default_of(field: dataclasses.Field) -> Any:
    """The default of a key; of a list or mapping a new one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def check_values(settings: Any, kind: str) -> None:
    """Checks the values of a dataclass of keys.

    Args:
        settings: an instance.
        kind: what its keys are called in errors, such as `"recipe"`.

    Raises:
        RecipeError: for a value that its key does not accept.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        accepts = field.metadata["accepts"]
        if value is None and field.default is None:
            continue
        if not accepts.test(value):
            raise RecipeError(f"The {kind} key `{field.name}` must be {accepts.description}. Received: {value!r}")
