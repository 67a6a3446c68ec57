"""Checkpoints of a training: what is damaged is not used, said, and written again."""

import json
import shutil

import pytest

from tests.support import strategy_worker


def _train(steps, folder):
    """Trains for so many steps in all, with a checkpoint after every one, and returns losses and weights."""
    recipe = strategy_worker.tiny_recipe(dropout=0.5, sampled_descriptors=9, steps=steps)
    model = strategy_worker.fvvae(recipe, noisy=True)
    return strategy_worker.train("run", model, strategy_worker.ArrayInputs(20), recipe, folder, None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What six steps give that nothing interrupts."""
    return _train(6, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory):
    """The run of a training that ended after four of the six, to be copied."""
    folder = tmp_path_factory.mktemp("four")
    _train(4, folder)
    return folder / "run"


@pytest.fixture
def checkpoints(four_steps, tmp_path):
    """The checkpoints of `four_steps`, to be damaged: `_train(..., tmp_path)` goes on from them."""
    return shutil.copytree(four_steps, tmp_path / "run") / "checkpoints"


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


def _another_loss(path):
    content = json.loads(path.read_text())
    content["history"]["loss"][-1] += 1
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("step-00000004.weights.h5", _flip),
        ("step-00000004.weights.h5", _cut),
        ("step-00000004.json", _cut),
        ("step-00000004.json", _another_loss),
    ],
)
def test_the_one_before_a_damaged_one_is_taken(whole, checkpoints, tmp_path, name, damage):
    damage(checkpoints / name)
    with pytest.warns(UserWarning, match="checkpoint .*step-00000004.weights.h5 is damaged; .* goes on from step 3"):
        assert _train(6, tmp_path) == whole
    assert sorted(path.name for path in checkpoints.glob("*.h5")) == [f"step-0000000{n}.weights.h5" for n in (5, 6)]


def test_a_damaged_one_is_written_again(whole, checkpoints, tmp_path, recwarn):
    _flip(checkpoints / "step-00000004.weights.h5")
    with pytest.warns(UserWarning, match="is damaged"):
        _train(4, tmp_path)
    assert _train(6, tmp_path) == whole
    assert not [warning for warning in recwarn if "is damaged" in str(warning.message)]


def test_without_any_that_is_intact_it_starts_anew(whole, checkpoints, tmp_path):
    for path in checkpoints.glob("*.h5"):
        _flip(path)
    with pytest.warns(UserWarning, match="is damaged; the training goes on anew"):
        assert _train(6, tmp_path) == whole


def test_those_of_version_0_1_have_no_digest(whole, checkpoints, tmp_path):
    for path in checkpoints.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text())["history"]))
    assert _train(6, tmp_path) == whole
