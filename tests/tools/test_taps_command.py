"""`keras-fvvae taps` on a small network."""

import json

from click.testing import CliRunner
from keras_fvvae.tools.main import cli


def test_text_and_json():
    result = CliRunner().invoke(cli, ["taps", "DigitsConvNet", "--input-size", "8"])
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.output.splitlines()] == [
        ["tap", "map", "sees", "also"],
        ["conv1", "8x8x32", "3"],
        ["conv2", "8x8x64", "5"],
        ["conv3", "*", "8x8x64", "7"],
    ]
    options = ["--input-size", "16", "--backbone-option", "filters=4", "--json"]
    rows = json.loads(CliRunner().invoke(cli, ["taps", "DigitsConvNet", *options]).output)
    assert rows[0]["shape"] == [16, 16, 2]
    assert [row["default"] for row in rows] == [False, False, True]


def test_unknown_backbone():
    result = CliRunner().invoke(cli, ["taps", "DigitConvNet"])
    assert result.exit_code != 0
    assert "did you mean 'DigitsConvNet'" in str(result.exception)
