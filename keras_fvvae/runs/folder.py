"""A training's folder: what it is made of, how it is continued, how it is read."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

from keras_fvvae.errors import RecipeError, RunError
from keras_fvvae.recipes import recipe_from_yaml
from keras_fvvae.utils.files import reason, replacing, sha256, write_atomically, write_json
from keras_fvvae.utils.text import parse_json

FORMAT = 1
# All that a run writes.
OWN = (
    "recipe.yaml", "labels.json", "fine_tuning", "fine_tuning.json", "history.json", "model.keras", "seconds.json",
    "vectors.npy", "vectors.json", "metrics.json", "skipped.csv", "damaged.csv", "manifest.json",
    "report.html", "figures",
)  # fmt: skip
# Files that make up the finished artifact and are listed, with their SHA-256, in manifest.json.
ARTIFACTS = ("recipe.yaml", "labels.json", "model.keras", "metrics.json", "history.json", "skipped.csv", "damaged.csv")


class RunFolder:
    """The folder of one training.

        recipe.yaml      every setting, defaults included
        labels.json      class names in the order of the scores
        fine_tuning/     the state of the backbone's fine-tuning, removed like the checkpoints; fine_tuning.json: losses
        checkpoints*/    the newest state of each stage of the training, removed when it is finished
        history.json     losses over the steps
        model.keras      the classifier: backbone, descriptors, FV-VAE, Fisher normalisation, SVM; without labels no SVM
        vectors.npy      normalised Fisher vectors, the training part first; vectors.json names the items
        metrics.json     accuracies on the test part, with the protocol
        seconds.json     how long the parts of the training took; of a continued one, what was left of it
        skipped.csv      items that could not be used, each with its reason
        damaged.csv      items, if any, that are used as far as they can be read, each with what is wrong
        manifest.json    SHA-256 of all these: its presence says that the run is finished

    Every file is written beside and renamed into place, so a run that was stopped anywhere can be continued.
    """

    def __init__(self, path):
        self.path = Path(path)

    @classmethod
    def create(cls, path, recipe, collection, weights_source=None, overwrite=False):
        """Creates a folder for a training, or opens that of the same training to continue it.

        `weights_source` says, as text, where the backbone's weights come from: other weights are another training.

        Raises:
            RunError: if the folder cannot be written, or holds something else.
        """
        run = cls(path)
        data = {"kind": collection.kind, "items": _fingerprint(collection), "backbone_weights": weights_source}
        if run.path.exists():
            differences = run._differences(recipe, data)
            if not overwrite and not differences:
                run._remove_leftovers()
                return run
            if not overwrite and run._holds_results():
                raise RunError(
                    f"{run.path} holds another training ({'; '.join(differences)}). Choose another folder with --out, "
                    f"or replace it with --overwrite."
                )
            run._require_own()
            run._clear()
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run.write_json("labels.json", {"class_names": collection.class_names, "data": data})
            run.write("recipe.yaml", recipe.to_yaml().encode())
        except OSError as error:
            raise RunError(f"The output folder {run.path} cannot be written: {reason(error)}.") from error
        return run

    @classmethod
    def open(cls, path):
        """Opens a finished run.

        Raises:
            RunError: if there is none, it is not finished, or a file of it was altered.
        """
        run = cls(path)
        if not run.is_run():
            raise RunError(f"{run.path} is not a run of keras_fvvae: it holds no recipe.yaml.")
        if not run.is_finished():
            raise RunError(f"The training in {run.path} is not finished: repeat its `keras-fvvae train` to go on.")
        try:
            manifest = run.read_json("manifest.json")
            version, digests = manifest["format"], dict(manifest["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{run.path / 'manifest.json'} is damaged; train again with --overwrite.") from error
        if version > FORMAT:
            raise RunError(f"{run.path} was written by a newer keras_fvvae (format {version}); upgrade it.")
        for name, digest in digests.items():
            if not (run.path / name).is_file():
                raise RunError(f"{run.path} is incomplete: {name} is missing.")
            if sha256(run.path / name) != digest:
                raise RunError(f"{run.path / name} was altered after the training: its SHA-256 has changed.")
        return run

    def is_run(self):
        return (self.path / "recipe.yaml").is_file()

    def is_finished(self):
        return (self.path / "manifest.json").is_file()

    @property
    def recipe(self):
        return recipe_from_yaml((self.path / "recipe.yaml").read_text(encoding="utf-8"), str(self.path / "recipe.yaml"))

    @property
    def kind(self):
        """What it was trained on: "image" or "video"."""
        return self.read_json("labels.json")["data"]["kind"]

    def write(self, name, content):
        """Writes a file of bytes whole or not at all."""
        write_atomically(self.path / name, content)

    def write_json(self, name, content):
        write_json(self.path / name, content, indent=2)

    def read_json(self, name):
        return parse_json((self.path / name).read_bytes(), finite=False, unicode=False)

    @contextlib.contextmanager
    def partial(self, name):
        """A path beside `name` to write to; renamed to `name` when the block ends well, removed otherwise."""
        with replacing(self.path / name, unique=False) as partial:
            yield partial

    def finish(self):
        """Writes the manifest and removes the checkpoints."""
        digests = {name: sha256(self.path / name) for name in ARTIFACTS if (self.path / name).is_file()}
        self.write_json("manifest.json", {"format": FORMAT, "sha256": digests})
        self._remove_leftovers()

    def _remove_leftovers(self):
        """Removes what a killed training left half-written, and the checkpoints of a finished one."""
        for path in self.path.rglob(".*partial*"):
            with contextlib.suppress(OSError):
                path.unlink()
        if self.is_finished():
            for path in [*self.path.glob("checkpoints*"), self.path / "fine_tuning"]:
                shutil.rmtree(path, ignore_errors=True)

    def _require_own(self):
        """Refuses a folder that holds anything which a run does not write: it is never deleted."""
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {self.path.name}
        foreign = sorted(
            name for name in names if name not in OWN and ".partial" not in name and not name.startswith("checkpoints")
        )
        if foreign:
            raise RunError(
                f"{self.path} exists and is not a run of keras_fvvae alone (it holds {foreign[0]!r}); choose another "
                f"folder with --out."
            )

    def _clear(self):
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _holds_results(self):
        """Whether more would be lost with the folder than its settings, as after a mistake in the first call."""
        names = ("fine_tuning", "history.json", "manifest.json")
        return any((self.path / name).exists() for name in names) or any(self.path.glob("checkpoints*"))

    def _differences(self, recipe, data):
        """How the training in the folder differs from the one asked for, in words."""
        try:
            old, new = (dataclasses.asdict(r) for r in (self.recipe, recipe))
            old_data = self.read_json("labels.json")["data"]
            items, weights = old_data["items"], old_data["backbone_weights"]
        except (OSError, ValueError, KeyError, TypeError, RecipeError):
            return ["its settings are incomplete"]
        pairs = ((key, old[key], new[key]) for key in old)
        differences = [f"{key} = {a!r}, now {b!r}" for key, a, b in pairs if json.dumps(a) != json.dumps(b)]
        if items != data["items"]:
            differences.append(f"other {data['kind']}s, labels or splits")
        if weights != data["backbone_weights"]:
            differences.append("other backbone weights")
        return differences


def _fingerprint(collection):
    keys = (collection.key(index) for index in range(len(collection)))
    rows = zip(collection.names, collection.labels.tolist(), collection.splits.tolist(), keys, strict=True)
    return hashlib.sha256(json.dumps([collection.class_names, *rows]).encode()).hexdigest()
