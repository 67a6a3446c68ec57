"""The folder that an extraction writes: a feature store, the list of failed items, and whether all is there."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.encoding.items import shard_of
from keras_fvvae.errors import RunError
from keras_fvvae.features import SHARD_BYTES, FeatureStore
from keras_fvvae.features.encoded_folder import ENCODING, name_of, read_labels, write_labels
from keras_fvvae.utils.files import reason, remove_leftovers, replacing, write_atomically, write_json
from keras_fvvae.utils.text import parse_json

if TYPE_CHECKING:
    from keras_fvvae.encoding.item_encoder import Encoding, Result
    from keras_fvvae.encoding.items import Item

FAILED = "failed"
FAILED_LIST = "failed.csv"


@dataclasses.dataclass(frozen=True)
class Summary:
    """How far an extraction is.

    Attributes:
        items: in the data, or in the shard of it.
        stored: of these, with a vector.
        failed: dictionary from the names of those that could not be encoded to the reasons.
        missing: names of those that are neither: still to be encoded.
        shards: where counted, dictionary from the number of a shard to how many of its items are missing.
        others: vectors of items that are not in the data (any more), or not in the shard.
        damaged: notes on items that were encoded as far as they can be read: dictionary from name to note.
        path: folder of the feature store.
    """

    items: int
    stored: int
    failed: dict
    missing: list
    shards: dict
    others: int
    damaged: dict
    path: Path

    @property
    def complete(self) -> bool:
        """Whether nothing is left to encode; failed items do not count."""
        return not self.missing


class Output:
    """The folder of an extraction, which any number of processes and machines may write to.

        encoding.json       what the vectors depend on: SHA-256 of the model, views, raw or normalised, dtype
        <digest>/           the `FeatureStore`
        labels.csv          labels of the items, where the data have any: file, label
        failed/*.csv        what failed, one file for each process that saw a failure: key, reason
        failed.csv          the same in one list for people: file, reason; without what was stored later

    Args:
        path: the folder; created if missing.
        encoding: an `Encoding`.
        shard_bytes: size of the store's shards, see `FeatureStore`.

    Raises:
        RunError: if the folder cannot be written, or holds something else: vectors of another encoder, for example.
    """

    def __init__(self, path: str | Path, encoding: Encoding, shard_bytes: int = SHARD_BYTES):
        self.path = Path(path).absolute()
        self.encoding = encoding
        self.shard_bytes = shard_bytes
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._claim()
            (self.path / FAILED).mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"The output folder {self.path} cannot be written: {reason(error)}.") from error
        remove_leftovers(self.path.glob(".*partial*"))

    def _claim(self):
        if (self.path / ENCODING).exists():
            _require_same(self.path, self.encoding.settings)
            return
        foreign = sorted(path.name for path in self.path.iterdir() if not path.name.startswith("."))
        if foreign and foreign[0] != ENCODING:  # another process may have been faster
            raise RunError(
                f"{self.path} is not the output folder of an encoding (it holds {foreign[0]!r}); choose another --out."
            )
        write_json(self.path / ENCODING, self.encoding.settings, indent=2)

    def open_store(self) -> FeatureStore:
        """The `FeatureStore`, with the keys of all that is stored."""
        return FeatureStore(self.path, self.encoding.settings, self.encoding.dtype)

    def writer(self) -> Writer:
        """A `Writer`; one for each process."""
        return Writer(self)

    def note_labels(self, labels: dict[str, str]) -> None:
        """Keeps labels of items by name beside their vectors.

        Raises:
            RunError: if the folder cannot be written.
        """
        try:
            write_labels(self.path, labels)
        except OSError as error:
            raise RunError(f"The output folder {self.path} cannot be written: {reason(error)}.") from error

    def failures(self) -> dict[str, str]:
        """Dictionary from key to reason of everything that ever failed."""
        failures: dict[str, str] = {}
        for path in sorted((self.path / FAILED).glob("*.csv"), key=os.path.getmtime):
            content = path.read_text(encoding="utf-8", errors="surrogateescape")
            whole = content[: content.rfind("\n") + 1]  # a killed process can leave half a line
            rows = csv.reader(io.StringIO(whole, newline=""))
            failures.update({row[0]: row[1] for row in rows if len(row) == 2})
        return failures

    def merge(self, other: str | Path) -> None:
        """Takes over what another output folder of the same encoding holds, by copying its shards.

        Raises:
            RunError: if it is none, or of another encoding.
        """
        other = Path(other)
        if not (other / ENCODING).is_file():
            raise RunError(f"{other} is not the output folder of an encoding: it holds no {ENCODING}.")
        _require_same(other, self.encoding.settings)
        store = self.open_store().path
        try:
            listings = sorted((other / store.name).glob("shard-*.json"))
            for source in [*(path.with_suffix(".npy") for path in listings), *listings]:  # without listing: no shard
                _copy(source, store / source.name)
            for source in (other / FAILED).glob("*.csv"):
                _copy(source, self.path / FAILED / source.name)
            write_labels(self.path, read_labels(other))
        except OSError as error:
            raise RunError(f"{other} cannot be merged into {self.path}: {reason(error)}.") from error

    def summary(
        self, items: Sequence[Item], shards: int = 1, check: bool = False, absent: dict[str, str] | None = None
    ) -> Summary:
        """How far the encoding of some items is; writes `failed.csv`.

        Args:
            items: `Item`s.
            shards: count missing items for each of so many shards.
            check: read everything that is stored, and remove shards that are damaged: their items are missing.
            absent: names that the data have and that nothing belongs to, with the reasons: they have failed.

        Returns:
            A `Summary`.
        """
        store = self.open_store()
        if check:
            store.discard_damaged()
        failures = self.failures()
        failed = dict(absent or {})
        failed |= {item.name: failures[item.key] for item in items if item.key in failures and item.key not in store}
        missing = [item.name for item in items if item.key not in store and item.key not in failures]
        by_shard = dict.fromkeys(range(1, shards + 1), 0)
        for name in missing:
            by_shard[shard_of(name, shards)] += 1
        stored = [item for item in items if item.key in store]
        damaged = {item.name: store.note(item.key) for item in stored if store.note(item.key)}
        names = {item.name for item in items}
        elsewhere = {name_of(key): text for key, text in failures.items() if key not in store}
        self._write_failed_list({name: text for name, text in elsewhere.items() if name not in names} | failed)
        return Summary(
            len(items) + len(absent or {}),
            len(stored),
            failed,
            missing,
            by_shard,
            len(store) - len(stored),
            damaged,
            store.path,
        )

    def _write_failed_list(self, failed):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("file", "reason"))
        writer.writerows(sorted(failed.items()))
        write_atomically(self.path / FAILED_LIST, text.getvalue().encode(errors="surrogateescape"))


class Writer:
    """Stores results; what it holds back is written by `flush`. It does not know what is stored, so it stays small."""

    def __init__(self, output: Output):
        encoding = output.encoding
        self._store = _BlindStore(output.path, encoding.settings, encoding.dtype, shard_bytes=output.shard_bytes)
        self._failed = output.path / FAILED / f"{uuid.uuid4().hex}.csv"

    def keep(self, result: Result) -> None:
        """Stores a `Result`: its vector, or the reason why there is none.

        Raises:
            DataError, OSError: if the disk does not take it.
        """
        if result.vector is not None:
            self._store.add(result.key, result.vector, result.note)
            return
        with open(self._failed, "a", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow((result.key, " ".join(result.reason.split())))

    def flush(self) -> None:
        """Writes what is held back.

        Raises:
            DataError: if the disk does not take it.
        """
        self._store.flush()


class _BlindStore(FeatureStore):
    """A feature store that is only written to: the keys of millions of items do not fit in every process."""

    def _register(self, listing):
        pass


def _require_same(folder, settings):
    """Raises unless an output folder is of an encoding with these settings."""
    try:
        found = parse_json((folder / ENCODING).read_bytes())
        differences = [
            f"another {key}" if key in ("model", "views") else f"{key} = {found[key]!r}, now {value!r}"
            for key, value in settings.items()
            if found[key] != value
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / ENCODING} is damaged; choose another --out.") from error
    if differences:
        raise RunError(f"{folder} holds vectors of another encoder ({'; '.join(differences)}); choose another --out.")


def _copy(source, target):
    if target.exists():
        return
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
