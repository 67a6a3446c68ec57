"""`keras-fvvae zoo publish`, `import-release`; entries and packs where a run is taken: what is written, printed, and
said when something is wrong."""

import json
import re
from importlib import resources

import pytest
from keras_fvvae.tools.common.options import chosen_recipe

from keras_fvvae.data import load_digits
from keras_fvvae.recipes import load_recipe, recipe_from_yaml
from keras_fvvae.recipes.load import ENTRIES
from keras_fvvae.runs.folder import RunFolder
from keras_fvvae.runs.results import RunResults
from keras_fvvae.tasks.predict import predict
from keras_fvvae.tasks.verify import encoded_images
from keras_fvvae.zoo import packs, sources
from tests.encoding.conftest import write_run
from tests.support.pack_files import own_cache  # noqa: F401  (a fixture)
from tests.support.small_data import write_digits
from tests.zoo.test_downloads import serving
from tests.zoo.test_listing import SHIPPED


@pytest.fixture
def run(tmp_path):
    """A finished run, of which the model is not opened here."""
    folder = RunFolder(tmp_path / "run of digits")
    folder.path.mkdir()
    folder.write("recipe.yaml", load_recipe("digits_conv").to_yaml().encode())
    folder.write_json("labels.json", {"class_names": ["a", "b"], "data": {"kind": "image"}})
    folder.write("model.keras", b"model")
    folder.write_results(RunResults("none", "FV-VAE"), {})
    folder.finish()
    return folder.path


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_an_entry_is_found_and_checked_once(command, run_command, tmp_path, monkeypatch):
    """Its file has megabytes or comes from a server; what was found first is what is opened."""
    found, of_name = [], sources._of_name
    monkeypatch.setattr(sources, "_of_name", lambda name: found.append(name) or of_name(name))
    image = min(write_digits(tmp_path / "data").glob("7/*.png"))
    options = ("--out", tmp_path / "maps") if command == "explain" else ()
    assert run_command(command, "digits_conv", image, *options)[0] == 0
    assert found == ["digits_conv"]


def test_list(run, run_command):
    assert run_command("zoo", "publish", run, "--name", "mine")[0] == 0
    assert run_command("zoo", "list", "--installed") == (0, "\n".join(sorted([*SHIPPED, "mine"])) + "\n", "")
    assert "mine" in run_command("zoo", "list", "m*")[1].splitlines()


@pytest.mark.system
def test_an_entry_with_weights_classifies_explains_and_is_exported(tmp_path, run_command):
    picture, pictures, out = tmp_path / "3.png", tmp_path / "pictures", tmp_path / "export"
    picture.write_bytes(encoded_images(load_digits(), [3])[0])
    code, output, errors = run_command("predict", "digits_conv", picture, "--top-k", "1", "--json")
    assert (code, errors) == (0, "")
    assert json.loads(output)["labels"] == ["3"]
    assert "seen_in_training" not in json.loads(output)  # which only a run tells
    drawn = pictures / tmp_path.name / "3.png"
    assert run_command("explain", "digits_conv", picture, "--out", pictures)[1].endswith(f": {drawn}\n")
    errors = run_command("export", "digits_conv", "--out", out, "--pca", "4")[2]
    assert (
        errors == "Error: digits_conv has no training vectors, whose principal components these are: export its run.\n"
    )
    code, output, errors = run_command("export", "digits_conv", "--out", out, "--half-svm")
    assert (code, output) == (0, f"{out / '1'}\n")
    assert float(re.search(r"differ from Keras's by at most (\S+),", errors)[1]) < 2e-5  # from Keras's, rounded too
    assert "FV-VAE 97.0" in (out / "1" / "assets.extra" / "card.md").read_text()


def test_a_pack_classifies_as_its_run(tmp_path, run_command):
    """By its folder and by the name it was published under."""
    picture = tmp_path / "1.png"
    picture.write_bytes(encoded_images(load_digits(), [1])[0])
    run = write_run(tmp_path / "run", kind="image")
    pack = run_command("zoo", "publish", run, "--name", "mine")[1].strip()
    (expected,) = predict(run, [picture])
    for source in (pack, "mine"):
        assert json.loads(run_command("predict", source, picture, "--json")[1]) == expected


def test_publish(run, tmp_path, run_command):
    local = tmp_path / "cache" / "keras_fvvae" / "zoo"
    assert run_command("zoo", "publish", run) == (0, f"{local / 'digits_conv' / '1'}\n", "")
    to = tmp_path / "a b"
    assert run_command("zoo", "publish", run, "--to", to, "--name", "mine") == (0, f"{to / 'mine' / '1'}\n", "")
    assert packs.open_weights(to, "mine").model.read_bytes() == b"model"


def test_publish_to_a_server(run, tmp_path, run_command):
    with serving(tmp_path / "served") as server:
        assert run_command("zoo", "publish", run, "--to", server.url)[:2] == (0, f"{server.url}/digits_conv/1\n")
        assert packs.open_weights(server.url, "digits_conv").version == 1


def test_a_pack_on_a_server_is_shown_verified_and_its_recipe_trained(tmp_path, run_command):
    """Also by its name, where it was published on this machine."""
    run = write_run(tmp_path / "run", kind="image")
    recipe = RunFolder.open(run).recipe
    with serving(tmp_path / "served") as server:
        url = run_command("zoo", "publish", run, "--to", server.url, "--name", "mine")[1].strip()
        assert run_command("zoo", "publish", run, "--name", "mine")[0] == 0
        for source in (url, f"{server.url}/mine", "mine"):
            code, output, errors = run_command("zoo", "show", source)
            assert (code, errors) == (0, "")
            assert recipe_from_yaml(output, source).backbone == recipe.backbone
            chosen = chosen_recipe(source, {"seed": 3}, dataset_options={"seed": 4})
            assert (chosen.backbone, chosen.seed, chosen.dataset_options["seed"]) == (recipe.backbone, 3, 4)
        code, output, errors = run_command("zoo", "verify", url)
        assert (code, errors) == (0, "")
        assert "mine" in output
    assert run_command("zoo", "show", "nothing")[0] == 1


def test_import_release(tmp_path, shared, run_command):
    folder = shared / "weights" / "fv_vae_release"
    code, output, errors = run_command("zoo", "import-release", *sorted(folder.iterdir()), "--to", tmp_path / "zoo")
    assert (code, errors) == (0, "")
    assert output.split() == [str(tmp_path / "zoo" / "ucf101_pool5" / str(version)) for version in (1, 2, 3)]


def test_mistakes_are_one_sentence(run, tmp_path, run_command):
    (tmp_path / "text.mat").write_text("hello")
    (run.parent / "file").touch()
    for arguments, message in (
        (["publish", tmp_path / "absent"], "absent does not exist."),
        (["publish", run, "--name", "a/b"], "'a/b' cannot be the name of an entry"),
        (["publish", run, "--to", run.parent / "file"], "cannot be published to"),
        (["publish", run, "--to", "ftp://bucket"], "abfs and memory are, not ftp"),
        (["publish", run, "--to", "hf://birds"], "hf://birds is not an address of the Hugging Face Hub"),
        (["publish", run, "--to", "http://127.0.0.1:9"], "cannot be read: Connection refused"),
        (["import-release", tmp_path / "text.mat"], "text.mat is not a released FV-VAE weight file"),
    ):
        code, output, errors = run_command("zoo", *arguments)
        assert (code, output) == (1, "")
        assert errors.startswith("Error: ")
        assert message in errors
        assert errors.count("\n") == 1
    (run / "model.keras").write_bytes(b"other")
    assert "was altered after the training" in run_command("zoo", "publish", run)[2]
    assert not (tmp_path / "cache").exists()


def test_verify(run, tmp_path, run_command):
    weights = resources.files(ENTRIES) / "weights" / "digits_conv.keras"
    assert run_command("zoo", "verify", weights) == (0, f"{weights}: a model of known classes.\n", "")
    code, _, errors = run_command("zoo", "verify", run)
    assert code == 1
    assert "model.keras is damaged or of another version: File is not a zip file" in errors
