"""Packs on the Hugging Face Hub, against a stand-in of its API: published, brought, checked, kept, refused."""

import importlib.util
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import yaml

from keras_fvvae import zoo
from keras_fvvae.data import load_digits
from keras_fvvae.errors import WeightsError
from keras_fvvae.recipes import load_recipe
from keras_fvvae.tasks.verify import encoded_images
from keras_fvvae.zoo import packs, publishing
from keras_fvvae.zoo.remote import hub
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError
from keras_fvvae.zoo.sources import entry_weights
from tests.support.hub_server import TOKEN, HubServer, Repository
from tests.support.pack_files import ENTRY, content_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="needs huggingface_hub: pip install keras-fvvae[hub]"
)

NAME = "someone/digits"
ADDRESS = f"hf://{NAME}"


@pytest.fixture
def the_hub(tmp_path, monkeypatch):
    """The stand-in, known to huggingface_hub as the Hub, and a token that may write."""
    from huggingface_hub import constants

    server = HubServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # What it reads of the environment when it is imported; a process of its own is told by variables, below.
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the storage behind the Hub, which is not HTTP
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def _stop(server, monkeypatch):
    """Nobody answers any more; what huggingface_hub waits before it tries again is left out."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    server.shutdown()
    server.server_close()


def _edited(server, **changes):
    """The newest manifest with changes, as bytes."""
    return json.dumps({**json.loads(server.files(NAME)["manifest.json"]), **changes}).encode()


def test_a_run_is_published_and_brought(the_hub, unopened_run):
    address = publishing.publish_run(unopened_run, ADDRESS)
    (_, oid) = the_hub.repositories[NAME].commits
    assert address == f"{ADDRESS}@{oid}"
    names = {"labels.json", "metrics.json", "model.keras", "recipe.yaml", "manifest.json"}
    assert set(the_hub.files(NAME)) == {*names, "README.md", ".gitattributes"}
    for source in (ADDRESS, f"{ADDRESS}/", address):
        pack = packs.open_weights(source, None)
        assert (content_of(pack), pack.version, pack.recipe.name) == ("model", 1, ENTRY)
        assert json.loads((pack.model.parent / "labels.json").read_text())["class_names"] == ["a", "b"]


def test_card(the_hub, unopened_run):
    """The Hub reads front matter in YAML; huggingface_hub finds in it the measurement."""
    from huggingface_hub import ModelCard

    publishing.publish_run(unopened_run, ADDRESS)
    text = the_hub.files(NAME)["README.md"].decode()
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "keras_fvvae"
    assert (front["pipeline_tag"], front["license"]) == ("image-classification", "apache-2.0")
    assert {"keras", "fv-vae"} <= set(front["tags"])
    (result,) = ModelCard(text).data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_type) == ("accuracy", 0.1235, "digits")
    assert "2 training images" in result.metric_name
    assert f'keras_fvvae.zoo.load("{ADDRESS}")' in text
    assert f'keras_fvvae.zoo.load_classifier("{ADDRESS}")' in text


def test_card_of_weights_without_labels_and_of_a_licence_in_words(the_hub, publish):
    publish(ADDRESS, licence="for looking at only")
    front = yaml.safe_load(the_hub.files(NAME)["README.md"].decode().split("---")[1])
    assert (front["license"], front["license_name"]) == ("other", "for looking at only")
    assert front["pipeline_tag"] == "image-feature-extraction"


def test_versions_are_commits(the_hub, publish):
    first, second = publish(ADDRESS, "one"), publish(ADDRESS, "two")
    assert [content_of(packs.open_weights(address, ENTRY)) for address in (first, second, ADDRESS)] == [
        "one", "two", "two",
    ]  # fmt: skip
    assert packs.open_weights(ADDRESS, ENTRY).version == 2


def test_a_pinned_commit_asks_the_hub_for_nothing_once_it_is_here(the_hub, publish):
    pinned = publish(ADDRESS)
    packs.open_weights(pinned, ENTRY)
    the_hub.requests.clear()
    packs.open_weights(pinned, ENTRY)
    assert the_hub.requests == []


def test_all_files_are_of_one_commit(the_hub, publish, monkeypatch):
    """Somebody publishes after the manifest was read."""
    publish(ADDRESS, "one")
    parse, overtaken = hub.parse_manifest, []

    def late(*arguments):
        if not overtaken:
            overtaken.append(True)
            publish(ADDRESS, "two")
        return parse(*arguments)

    monkeypatch.setattr(hub, "parse_manifest", late)
    assert content_of(packs.open_weights(ADDRESS, ENTRY)) == "one"


def test_files_of_the_pack_before_do_not_stay(the_hub, unopened_run, publish):
    publishing.publish_run(unopened_run, ADDRESS)
    the_hub.commit(NAME, **{"notes.md": b"by hand"})
    publish(ADDRESS)
    assert set(the_hub.files(NAME)) == {
        ".gitattributes", "README.md", "manifest.json", "model.keras", "notes.md", "recipe.yaml",
    }  # fmt: skip


def test_an_edited_card_is_no_damage(the_hub, publish):
    publish(ADDRESS)
    the_hub.commit(NAME, **{"README.md": b"# mine"})
    assert packs.open_weights(ADDRESS, ENTRY).version == 1


def test_offline(the_hub, publish, monkeypatch):
    """What is in the cache is taken; what is not is one sentence."""
    pinned = publish(ADDRESS)
    packs.open_weights(ADDRESS, ENTRY)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for address in (ADDRESS, pinned):
        assert content_of(packs.open_weights(address, ENTRY)) == "model"
    with pytest.raises(NetworkError, match="hf://someone/else cannot be read: .*offline mode.*Check the network"):
        packs.open_weights("hf://someone/else", None)


def test_no_network(the_hub, publish, monkeypatch):
    publish(ADDRESS)
    packs.open_weights(ADDRESS, ENTRY)
    _stop(the_hub, monkeypatch)
    with pytest.warns(UserWarning, match=f"{ADDRESS} cannot be read: .*refused.* The copy in .*snapshots.* is used"):
        assert content_of(packs.open_weights(ADDRESS, ENTRY)) == "model"
    with pytest.raises(NetworkError, match="hf://someone/else cannot be read: .*refused.*Check the network"):
        packs.open_weights("hf://someone/else", None)
    with pytest.raises(NetworkError, match="hf://someone/new cannot be published to: .*Connection refused.*Check the"):
        publish("hf://someone/new")


def test_damage_in_the_cache_is_mended_and_on_the_hub_refused(the_hub, publish):
    publish(ADDRESS)
    kept = packs.open_weights(ADDRESS, ENTRY).model
    kept.resolve().write_text("MODEL")
    assert content_of(packs.open_weights(ADDRESS, ENTRY)) == "model"
    the_hub.commit(NAME, **{"model.keras": b"MODEL"})
    with pytest.raises(WeightsError, match=f"The pack {ADDRESS} cannot be used: .*its SHA-256 has changed"):
        packs.open_weights(ADDRESS, ENTRY)
    the_hub.commit(NAME, **{"manifest.json": _edited(the_hub, format=9)})
    with pytest.raises(WeightsError, match="was written by a newer keras_fvvae"):
        packs.open_weights(ADDRESS, ENTRY)
    the_hub.commit(NAME, **{"manifest.json": _edited(the_hub, format=1, files={"../../model.keras": {}})})
    with pytest.raises(WeightsError, match="it is not the manifest of a pack"):
        packs.open_weights(ADDRESS, ENTRY)


def test_what_is_not_there_is_one_sentence(the_hub, publish, monkeypatch):
    publish(ADDRESS)
    the_hub.repositories["someone/empty"] = Repository({"0" * 40: {}})
    the_hub.repositories["someone/secret"] = Repository({"0" * 40: {}}, private=True)
    the_hub.repositories["someone/gated"] = Repository({"0" * 40: {}}, gated=True)
    monkeypatch.delenv("HF_TOKEN")
    for address, kind, message in (
        ("hf://someone/absent", MissingError, "is not on the Hub, or is private: check the name, or log in with"),
        ("hf://someone/secret", MissingError, "is not on the Hub, or is private"),
        ("hf://someone/gated", WeightsError, "is only for those whom its authors let in"),
        (f"{ADDRESS}@v9", MissingError, "someone/digits has no revision 'v9' on the Hub"),
        ("hf://someone/empty", MissingError, "is no pack of keras_fvvae: it lacks"),
        ("hf://digits", WeightsError, "is not an address of the Hugging Face Hub: give hf://ORG/NAME"),
        ("hf://some--one/digits..x", WeightsError, "is not an address of the Hub"),
    ):
        with pytest.raises(kind, match=message) as raised:
            packs.open_weights(address, None)
        assert "\n" not in str(raised.value)
    with pytest.raises(WeightsError, match="is a pack of 'digits_conv', not of 'image_folder'"):
        packs.open_weights(ADDRESS, "image_folder")
    with pytest.raises(WeightsError, match=f"{ADDRESS} cannot be published to: the Hub wants a token that may do so"):
        publish(ADDRESS)
    monkeypatch.setenv(packs.MIRROR_VARIABLE, ADDRESS)
    with pytest.raises(WeightsError, match="KERAS_FVVAE_ZOO is .*: a repository of the Hub is one pack, no zoo"):
        packs.find(ENTRY)


def test_publishing_that_cannot_be(the_hub, publish):
    publish(ADDRESS)
    with pytest.raises(WeightsError, match="is published as the newest commit: give hf://someone/digits alone"):
        publish(f"{ADDRESS}@main")
    with pytest.raises(WeightsError, match="has packs of 'digits_conv': publish to another .*--name digits_conv"):
        publish(ADDRESS, name="mine")
    the_hub.before_commit = lambda: the_hub.commit(NAME, **{"README.md": b"# mine"})
    with pytest.raises(WeightsError, match="cannot be published to: it was changed meanwhile. Publish again"):
        publish(ADDRESS)
    the_hub.status = 418
    with pytest.raises(NetworkError, match="cannot be published to: HTTP 418"):
        publish(ADDRESS)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r'need huggingface_hub: pip install "keras_fvvae\[hub\]"'):
        packs.open_weights(ADDRESS, None)


def _environment(server, tmp_path):
    """The variables of huggingface_hub for a process of its own."""
    of_hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    return {**os.environ, **of_hub, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


@pytest.fixture
def shipped(the_hub):
    """The weights that ship with an entry, published on the Hub under another name."""
    recipe = load_recipe(ENTRY)
    labels = json.dumps({"class_names": list("0123456789"), "data": {"kind": "image"}}).encode()
    files = {"model.keras": entry_weights(recipe), "labels.json": labels}
    publishing.publish(recipe.replace(name="mine", weights={}), files, ADDRESS)
    return the_hub


def test_loading_by_address(shipped):
    images = [load_digits().read(number) for number in range(3)]
    assert zoo.load_classifier(ADDRESS).classify(images)[0] == ["0", "1", "2"]
    expected = zoo.load_encoder(ENTRY).encode(images)
    np.testing.assert_array_equal(zoo.load_encoder(ADDRESS).encode(images), expected)
    model = zoo.load(ADDRESS, steps=3)
    assert (model.fvvae.latent_dim, model.fvvae.num_classes) == (31, 10)
    with pytest.raises(WeightsError, match=f"The weights {ADDRESS} have `latent_dim` = 31, not 7"):
        zoo.load(ADDRESS, latent_dim=7)
    assert zoo.load(ADDRESS, weights=None, latent_dim=7).fvvae.latent_dim == 7


def test_command_line_in_a_process_of_its_own(shipped, tmp_path):
    picture = tmp_path / "3.png"
    picture.write_bytes(encoded_images(load_digits(), [3])[0])
    environment = _environment(shipped, tmp_path)
    command = [sys.executable, "-m", "keras_fvvae", "predict", ADDRESS, str(picture), "--top-k", "1", "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["labels"] == ["3"]
    assert result.stderr == ""
    assert list((tmp_path / "home" / "hub").glob("models--someone--digits/snapshots/*/model.keras"))


def test_publish_command_prints_the_commit(the_hub, unopened_run, tmp_path):
    environment = _environment(the_hub, tmp_path)
    command = [sys.executable, "-m", "keras_fvvae", "zoo", "publish", str(unopened_run.path), "--to", ADDRESS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{ADDRESS}@{list(the_hub.repositories[NAME].commits)[-1]}\n"
