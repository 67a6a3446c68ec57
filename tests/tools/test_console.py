"""Tables and lists as the commands print them."""

import errno
import importlib
import os
import resource

import pytest
from keras_fvvae.tools import main as command_line
from keras_fvvae.tools.common.console import address_space_warning, print_list, print_table, table_text

LONG = [
    (
        "representation",
        "dimension",
        "accuracy (%)",
        "paper: accuracy (%)",
        "encode (ms an item)",
        "fit (s)",
        "settings",
    ),
    ("FV-VAE, deeper decoder", "131,072", "83.45 +- 1.20", "83.45", "12.3", "1,234.5", "255 latent, [bold] 5000 steps"),
    ("AVE", "512", "73.25 +- 1.20", "73.25", "12.3", "", "not run: it needs a run on the same data"),
]


def test_a_table_of_80_columns(monkeypatch, capsys):
    """Numbers and words stay whole, and nothing is taken for markup."""
    monkeypatch.setenv("COLUMNS", "80")
    print_table(LONG)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    words = " ".join(cell for row in LONG for cell in row).split()
    assert sorted(printed.split()) == sorted(words)


def test_a_long_name_is_folded_not_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = table_text([("file", "items"), ("x" * 60, "3")], right=[1])
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("x") == 60


def test_numbers_are_aligned_to_the_right():
    assert table_text([("class", "items"), ("a", "7"), ("b", "12")], right=[1], title="T").splitlines() == [
        "T",
        "class  items",
        "a          7",
        "b         12",
    ]


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (3, 4), (10, 11), (12, 12)])
def test_a_list_shows_the_first(capsys, count, shown):
    print_list("failed", [f"item {number}" for number in range(count)], " (failed.csv has all)")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == shown
    if count:
        assert lines[0] == f"{count} failed:"
    if count > 10:
        assert lines[-1] == "  ... and 2 more (failed.csv has all)"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (resource.RLIM_INFINITY, ""),
        (8 << 30, ""),
        (
            3 << 30,
            "Warning: this shell allows 3.0 GiB of address space (`ulimit -v`), and TensorFlow reserves up to 6: ",
        ),
    ],
)
def test_little_address_space(monkeypatch, limit, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, resource.RLIM_INFINITY))
    warning = address_space_warning()
    assert warning.startswith(expected)
    assert bool(warning) == bool(expected)


def _resource_exhausted(text):
    return type("ResourceExhaustedError", (Exception,), {"__module__": "tensorflow.python.framework"})(text)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/d/a"), "Error: No space left on device: /d/a"),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device"),
        (OSError(errno.EACCES, "Permission denied", os.fsencode("/d/a")), "Error: Permission denied: /d/a"),
        (MemoryError(), "Error: out of memory. Lower `batch_size`, or"),
        (
            ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"),
            "Error: a library cannot be loaded: libtensorflow_cc.so.2: failed to map segment from shared object. ",
        ),
        (
            _resource_exhausted("{{node a}} OOM when allocating tensor [Op:X]"),
            "Error: out of memory. Lower `batch_size`,",
        ),
        (
            _resource_exhausted("/d/.partial-x; No space left on device"),
            "Error: No space left on device. Free some where",
        ),
        (
            type("InternalError", (Exception,), {"__module__": "tensorflow"})("{{node a}} bad [Op:X]\nmore"),
            "Error: TensorFlow: bad\n",
        ),
    ],
)
def test_what_a_command_says_when_it_ran_out(monkeypatch, capsys, error, expected):
    def fail(**_):
        raise error

    monkeypatch.setattr(command_line.cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith(expected)
    assert printed.count("\n") == 1


def test_a_defect_of_an_import_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(command_line.cli, "main", lambda **_: importlib.import_module("keras_fvvae.nothing"))
    with pytest.raises(ModuleNotFoundError):
        command_line.main()
