"""JSON, YAML and CSV that others wrote: read within limits, and refused in one sentence.

What a parser lets through can end far from it: a NaN in an accuracy, half of a surrogate pair when a name is printed,
a recursive alias in a copy, an integer of 5,000 digits in an array. Everything that comes from a disk or a network is
read here.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

# Deeper than any format of the package by far; Python's own limit of recursion is ten times that.
MOST_DEPTH = 100
# Values of a YAML text, whose aliases count as often as they are used: a few lines can stand for billions.
MOST_VALUES = 1_000_000
# Largest integer: every smaller one is a finite float too.
MOST_INTEGER = 10**300
# Digits of a whole number in a list: all such fit into 64 bits.
MOST_DIGITS = 18
# Halves of surrogate pairs, but for those that stand for bytes in the names of files that are no UTF-8 (PEP 383).
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
# libyaml's, nine times as fast, where PyYAML has it; but it refuses escaped halves of pairs, which names of files hold.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# What the parsers raise besides their own errors, for integers of too many digits, tags that do not fit, and depth.
UNEXPECTED = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class TextError(ValueError):
    """Says what is wrong with a text, in half a sentence: `f"{path} is not JSON: {error}."`"""


def parse_json(
    text: str | bytes,
    *,
    finite: bool = True,
    unicode: bool = True,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """The value of a JSON text.

    Args:
        text: UTF-8, with or without a byte order mark, if it is bytes.
        finite: whether NaN and infinity are refused. `False` for what the package writes itself, and where the caller
            says better where they are.
        unicode: whether lone surrogates are refused, but for those that stand for bytes in names of files. `False` for
            what the package writes itself.
        pairs: what makes an object of its pairs. Default: `dict`.

    Raises:
        TextError: if it is not JSON, nested too deeply, or holds numbers that are not finite, integers of too many
            digits or lone surrogates.

    Example:
        >>> parse_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
        >>> parse_json("[1e999]")
        Traceback (most recent call last):
        keras_fvvae.utils.text.TextError: it holds inf, which is not finite
    """
    try:
        value = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise TextError(str(error)) from error
    except UnicodeDecodeError as error:
        raise TextError(f"it is not UTF-8 (byte {error.start})") from error
    except UNEXPECTED as error:
        raise TextError(_why(error)) from error
    return _checked(value, finite, unicode, most=math.inf)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text: plain data, no other objects.

    Raises:
        TextError: as `parse_json`, and for aliases that contain themselves or stand for too much.

    Example:
        >>> parse_yaml("a: [1, 2.5]")
        {'a': [1, 2.5]}
        >>> parse_yaml("a: &b [*b]")
        Traceback (most recent call last):
        keras_fvvae.utils.text.TextError: it is nested more than 100 deep
    """
    try:
        value = yaml.load(text, Loader=yaml.SafeLoader if _ESCAPED_HALF.search(text) else _LOADER)
    except yaml.YAMLError as error:
        raise TextError(" ".join(str(error).split())) from error
    except UNEXPECTED as error:
        raise TextError(_why(error)) from error
    return _checked(value, finite=True, unicode=True, most=MOST_VALUES)


def csv_rows(text: str, delimiter: str = ",", strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Iterates over pairs of line number and fields of a CSV text, header and blank lines (no fields) included.

    Args:
        text: with any line ends; of a row of several lines the number is that of the last.
        delimiter: between fields.
        strict: whether quotes that do not fit are an error.

    Raises:
        TextError: for fields of more than 131,072 characters, and what else is not CSV.

    Example:
        >>> list(csv_rows('id,label\\na,"x, y"\\n'))
        [(1, ['id', 'label']), (2, ['a', 'x, y'])]
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise TextError(f"line {reader.line_num}: {error}") from error
        yield reader.line_num, fields


def normal_name(name: str) -> str:
    """The one spelling of a listed name: without `./`, `//` and `a/../`; upper and lower case stay what they are.

    Addresses such as `http://host/a.jpg` are no paths and stay too.

    Example:
        >>> normal_name("./a//b/../c.JPG")
        'a/c.JPG'
    """
    if not name or "://" in name:
        return name
    return re.sub("^//+", "/", posixpath.normpath(name))  # two slashes at the beginning are something else to POSIX


def to_bytes(text: str) -> bytes:
    """UTF-8, in which names of files that are no Unicode have the bytes that they have on disk.

    Example:
        >>> to_bytes("caf\\udce9"), to_bytes("\\ud800")
        (b'caf\\xe9', b'\\xed\\xa0\\x80')
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other halves of surrogate pairs are no bytes
        return text.encode("utf-8", "surrogatepass")


def is_number(text: str) -> bool:
    """Whether a text is a whole number of digits alone, few enough for `int` and for arrays.

    Example:
        >>> is_number("012"), is_number("-1"), is_number("7" * 5000)
        (True, False, False)
    """
    return text.isdecimal() and len(text) <= MOST_DIGITS


def is_bytes(text: str) -> bool:
    """Whether a text has bytes that are no UTF-8, as names of files can.

    Example:
        >>> is_bytes("caf\\udce9"), is_bytes("caf\\u00e9")
        (True, False)
    """
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


def from_bytes(content: bytes) -> str:
    """The text of such bytes.

    Example:
        >>> from_bytes(b"caf\\xe9") == "caf\\udce9"
        True
    """
    return content.decode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """Text that pages, fonts and terminals can take: what is no Unicode, or moves the cursor, is written out.

    Example:
        >>> printable("caf\\udce9\\n"), printable("猫")
        ('caf\\\\xe9\\\\n', '猫')
    """
    text = to_bytes(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def _why(error):
    if isinstance(error, RecursionError):
        return f"it is nested more than {MOST_DEPTH} deep"
    if "integer string conversion" in str(error):
        return "it holds an integer of too many digits"
    return " ".join(str(error).split()) or type(error).__name__


def _checked(value, finite, unicode, most):
    """The value, looked through without recursion."""
    levels, count = [iter((value,))], 0
    while levels:
        item = next(levels[-1], levels)
        if item is levels:
            levels.pop()
            continue
        count += 1
        if count > most:
            raise TextError(f"it holds more than {most:,} values")
        if isinstance(item, dict | list | tuple | set):
            if len(levels) > MOST_DEPTH:
                raise TextError(f"it is nested more than {MOST_DEPTH} deep")
            levels.append(itertools.chain(item, item.values()) if isinstance(item, dict) else iter(item))
        elif isinstance(item, str):
            if unicode and not item.isascii() and any(_HALVES.match(letter) for letter in item):
                raise TextError(f"it holds text that is no Unicode, {item[:20]!a}")
        elif isinstance(item, float):
            if finite and not math.isfinite(item):
                raise TextError(f"it holds {item}, which is not finite")
        elif isinstance(item, int) and abs(item) > MOST_INTEGER:
            raise TextError("it holds an integer of too many digits")
    return value
