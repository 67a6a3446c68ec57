"""The models in memory, kept the same as the folders on disk while requests go on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_fvvae.errors import RunError
from keras_fvvae.serving.engine.servable import Servable
from keras_fvvae.serving.errors import ServingError, without_paths
from keras_fvvae.serving.operations import require_known_operations
from keras_fvvae.serving.searching.encoders import why_not_searched
from keras_fvvae.serving.version_folders import version_folders

if TYPE_CHECKING:
    from keras_fvvae.serving.engine.metrics import Metrics
    from keras_fvvae.serving.settings import ModelConfig

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class VersionStatus:
    """What became of a version; states and codes are those of TensorFlow Serving's `ModelVersionStatus`."""

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""
    fingerprint: tuple = ()


class Model:
    """The versions of one model.

    New versions are loaded beside the old ones, which go when a wanted one answers; a version that cannot be loaded
    changes nothing. Requests keep the version they began with. Where all folders have gone, what is loaded stays.

    Args:
        config: a `ModelConfig`.
        metrics: a `Metrics`.
        verified: whether versions are refused that hold operations which no export of this library holds.
    """

    def __init__(self, config: ModelConfig, metrics: Metrics, verified: bool = False):
        self.config = config
        self._verified = verified
        self.statuses: dict[int, VersionStatus] = {}
        self._servables: dict[int, Servable] = {}
        self._leases: dict[Servable, int] = {}
        self._metrics = metrics

    async def refresh(self) -> None:
        """Looks at the folder once, loads what is new and lets go of what is not wanted any more."""
        folders = version_folders(self.config.base_path)
        wanted = self.config.wanted(folders)
        for version in wanted:
            if version not in self._servables:
                await self._load(version, folders[version])
        if any(version in self._servables for version in wanted):
            for version in [version for version in self._servables if version not in wanted]:
                self._retire(version)

    def find(self, version: int | None = None, label: str | None = None) -> Servable:
        """The servable of a version or label; of the highest version where neither is given.

        Raises:
            ServingError: NOT_FOUND, or INVALID_ARGUMENT for an unknown label.
        """
        name = self.config.name
        if label is not None:
            if label not in self.config.labels:
                raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
            version = self.config.labels[label]
        if version is None:
            version = max(self._servables, default=None)
        if version not in self._servables:
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {wanted}")
        return self._servables[version]

    @contextlib.contextmanager
    def lease(self, servable: Servable) -> Iterator[None]:
        """While it is held, the version's state says that it is in use."""
        self._leases[servable] = self._leases.get(servable, 0) + 1
        try:
            yield
        finally:
            self._leases[servable] -= 1
            if not self._leases[servable]:
                del self._leases[servable]
                self._settle(servable)

    async def _load(self, version, path):
        fingerprint = await asyncio.to_thread(_fingerprint, path)
        known = self.statuses.get(version)
        if known and known.error_code != "OK" and known.fingerprint == fingerprint:
            return  # it was broken, and is what it was
        status = self.statuses[version] = VersionStatus(version, "LOADING", fingerprint=fingerprint)
        try:
            if self._verified:
                await asyncio.to_thread(require_known_operations, path)
            servable = await asyncio.to_thread(Servable, self.config.name, version, path)
        except Exception as error:  # a broken version may raise anything, and must not end the server
            status.state, status.error_code = "END", "UNKNOWN"
            why = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            status.error_message = without_paths(why)  # clients are told
            self._metrics.load_failures.labels(self.config.name).inc()
            logger.error("Version %s of %s cannot be served: %s", version, self.config.name, why)
            return
        self._servables[version] = servable
        status.state = "AVAILABLE"
        self._metrics.available.labels(self.config.name, version).set(1)
        logger.info("Version %s of %s is served.", version, self.config.name)
        if self.config.index is not None and (why := why_not_searched(self.config.index, servable.encoder)):
            logger.warning("Version %s of %s is served, but not searched: %s.", version, self.config.name, why)

    def _retire(self, version):
        servable = self._servables.pop(version)
        self.statuses[version].state = "UNLOADING"
        self._metrics.available.labels(self.config.name, version).set(0)
        logger.info("Version %s of %s is not served any more.", version, self.config.name)
        self._settle(servable)

    def _settle(self, servable):
        status = self.statuses[servable.version]
        if status.state == "UNLOADING" and servable not in self._leases:
            status.state = "END"


class ModelRepository:
    """All models of a server.

    Args:
        configs: list of `ModelConfig` with different names.
        metrics: a `Metrics`.
        verified: as for `Model`.

    Raises:
        ValueError: for two models of one name.
    """

    def __init__(self, configs: Sequence[ModelConfig], metrics: Metrics, verified: bool = False):
        self.models = {config.name: Model(config, metrics, verified) for config in configs}
        if len(self.models) < len(configs):
            raise ValueError("`models` must have different names.")

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            ServingError: NOT_FOUND.
        """
        if name not in self.models:
            raise ServingError("NOT_FOUND", f"Servable not found for request: Latest({name})")
        return self.models[name]

    def statuses(self, name: str, version: int | None = None, label: str | None = None) -> list[VersionStatus]:
        """The `VersionStatus` of every version that was seen, the newest first, or of one.

        Raises:
            ServingError: NOT_FOUND.
        """
        model = self.models.get(name)
        found = dict(model.statuses) if model else {}
        if label is not None:
            version = self.model(name).find(label=label).version
        if version is not None:
            found = {key: one for key, one in found.items() if key == version}
        if not found:
            which = "" if version is None else f" with version {version}"
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}{which}")
        return [found[key] for key in sorted(found, reverse=True)]

    async def start(self) -> None:
        """Loads every model.

        Raises:
            RunError: if one has no version that can be served, or its newest one is not of the model that its index was
                made by, with the reason.
        """
        for model in self.models.values():
            await model.refresh()
            if not any(status.state == "AVAILABLE" for status in model.statuses.values()):
                raise RunError(_why_nothing(model))
            newest = model.find()
            if model.config.index is not None and (why := why_not_searched(model.config.index, newest.encoder)):
                raise RunError(f"Version {newest.version} in {model.config.base_path} cannot be searched: {why}.")

    async def watch(self, interval: float) -> None:
        """Refreshes the models every `interval` seconds, for ever."""
        while True:
            await asyncio.sleep(interval)
            for model in self.models.values():
                try:
                    await model.refresh()
                except OSError as error:  # a network folder that is away comes back
                    logger.error("The folder of %s cannot be read: %s", model.config.name, error)


def _fingerprint(path):
    """Changes with the folder's files: a copy that was under way when it was tried is tried again."""
    files = sorted(p for p in Path(path).rglob("*") if p.is_file())
    return tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files)


def _why_nothing(model):
    base = Path(model.config.base_path)
    failed = [f"version {s.version}: {s.error_message}" for s in model.statuses.values()]
    if failed:
        return f"{base} has no version that can be served. {'; '.join(failed)}"
    if (base / "saved_model.pb").is_file():
        return f"{base} is a version itself; serve its parent folder, {base.absolute().parent}."
    return f"{base} holds no version: no folder that is named by a number, such as {base / '1'}."
