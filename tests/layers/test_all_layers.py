"""Every public layer goes through the harness, in a test file of its own."""

import ast
from pathlib import Path

import pytest

from keras_fvvae import layers


def _names_in_harness_calls(path):
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    harness_calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "check_layer"]
    return {node.id for call in harness_calls for node in ast.walk(call) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("name", layers.__all__)
def test_layer_passes_the_harness(name):
    module = getattr(layers, name).__module__.rsplit(".", 1)[-1]
    test_file = Path(__file__).with_name(f"test_{module}.py")
    assert test_file.is_file()
    assert name in _names_in_harness_calls(test_file)
