"""Texts that others wrote: what is read, and that all else is one sentence within seconds."""

import json

import pytest

from keras_fvvae.utils import text as module
from keras_fvvae.utils.text import TextError, csv_rows, parse_json, parse_yaml

DATA = {"a": [1, -2.5, None, True], "Köln": {"": "\U0001f600"}}


def test_what_is_read():
    assert parse_json(json.dumps(DATA)) == DATA
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(DATA, ensure_ascii=False).encode()) == DATA
    assert parse_yaml('a: [1, -2.5, null, true]\nKöln: {"": "\U0001f600"}') == DATA
    assert parse_yaml("a: &b [1]\nc: *b") == {"a": [1], "c": [1]}
    assert parse_json(str(10**299)) == 10**299


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        (b"\xff\xfe1", "not UTF-8 .byte 0"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ("[" * 200_000, "nested more than 100 deep"),
        ('{"a":' * 200_000, "nested more than 100 deep"),
        ("[NaN]", "nan, which is not finite"),
        ("[-Infinity]", "-inf, which is not finite"),
        ('{"a": 1e999}', "inf, which is not finite"),
        ("[" + "7" * 5000 + "]", "an integer of too many digits"),
        ("-" + "7" * 301, "an integer of too many digits"),
        (r'["a\ud800b"]', r"no Unicode, 'a\\ud800b'"),
        (r'{"\udfff": 1}', "no Unicode"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(TextError, match=message) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_what_the_package_writes_itself():
    written = json.dumps({"loss": [float("inf")], "names": ["\udcff.jpg"]})
    assert parse_json(written, finite=False, unicode=False) == json.loads(written)
    with pytest.raises(TextError, match="nested"):
        parse_json("[" * 101 + "]" * 101, finite=False, unicode=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "while parsing"),
        ("a: &b [*b]", "nested more than 100 deep"),
        ("a: &b {c: *b}", "nested more than 100 deep"),
        ("[" * 200 + "]" * 200, "nested more than 100 deep"),
        ("[" * 5000 + "]" * 5000, "nested more than 100 deep|maximum nesting depth"),
        ("a: .nan", "nan, which is not finite"),
        ("a: .inf", "inf, which is not finite"),
        ("a: " + "7" * 5000, "an integer of too many digits"),
        ('a: "\\ud800"', "no Unicode"),
        ("!!timestamp x", "."),
        ("!!bool x", "."),
        ("!!int ''", "."),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("2001-99-99", "month must be in"),
        ("a: \x07", "(special|control) characters are not allowed"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_yaml_that_is_refused(text, message):
    with pytest.raises(TextError, match=message) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_that_stand_for_billions(monkeypatch):
    monkeypatch.setattr(module, "MOST_VALUES", 10_000)
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    with pytest.raises(TextError, match="more than 10,000 values"):
        parse_yaml("\n".join(lines))


def test_csv():
    assert list(csv_rows('a,b\r\n\r\n"x\ny",é\r\n')) == [(1, ["a", "b"]), (2, []), (4, ["x\ny", "é"])]
    assert list(csv_rows("a\tb\n", "\t")) == [(1, ["a", "b"])]
    with pytest.raises(TextError, match=r"line 2: field larger than field limit \(131072\)"):
        list(csv_rows("a,b\n" + "x" * 200_000))
    with pytest.raises(TextError, match=r"line 1: .* expected after"):
        list(csv_rows('"a"b,c\n', strict=True))
