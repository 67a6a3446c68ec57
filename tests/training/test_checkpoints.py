"""Checkpoints of a training: what is damaged is not used, said, and written again."""

import json

import pytest

from tests.support import strategy_worker


@pytest.fixture
def train(tmp_path):
    """Trains for so many steps in all, with a checkpoint after every one, and returns losses and weights."""

    def run(steps, folder="one"):
        (tmp_path / folder).mkdir(exist_ok=True)
        recipe = strategy_worker.tiny_recipe(dropout=0.5, sampled_descriptors=9, steps=steps)
        model = strategy_worker.fvvae(recipe, noisy=True)
        return strategy_worker.train("run", model, strategy_worker.ArrayInputs(20), recipe, tmp_path / folder, None)

    run.folder = tmp_path / "one" / "run" / "checkpoints"
    return run


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
def test_the_one_before_a_damaged_one_is_taken(train, name, damage):
    whole = train(6, "whole")
    train(4)
    damage(train.folder / name)
    with pytest.warns(UserWarning, match="checkpoint .*step-00000004.weights.h5 is damaged; .* goes on from step 3"):
        assert train(6) == whole
    assert sorted(path.name for path in train.folder.glob("*.h5")) == [f"step-0000000{n}.weights.h5" for n in (5, 6)]


def test_a_damaged_one_is_written_again(train):
    train(4)
    _flip(train.folder / "step-00000004.weights.h5")
    with pytest.warns(UserWarning, match="is damaged"):
        train(4)
    assert train(6) == train(6, "whole")  # without a warning


def test_without_any_that_is_intact_it_starts_anew(train):
    whole = train(6, "whole")
    train(3)
    for path in train.folder.glob("*.h5"):
        _flip(path)
    with pytest.warns(UserWarning, match="is damaged; the training goes on anew"):
        assert train(6) == whole


def test_those_of_version_0_1_have_no_digest(train):
    whole = train(6, "whole")
    train(4)
    for path in train.folder.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text())["history"]))
    assert train(6) == whole
