"""Packs on the Hugging Face Hub, one in a repository: brought to this machine, and committed, by huggingface_hub.

    README.md                         the card, with the front matter that the Hub searches by
    manifest.json                     as of any pack; it lists all files but the card, which is edited on the Hub
    model.keras, recipe.yaml, ...     see `keras_fvvae.zoo.packs`

The files are kept in huggingface_hub's own cache (`HF_HOME`), by commit; where the Hub cannot be reached, what is
there is taken. Tokens (`hf auth login`, `HF_TOKEN`), another server (`HF_ENDPOINT`) and `HF_HUB_OFFLINE` are its too.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from keras_fvvae import __version__
from keras_fvvae.errors import WeightsError, first_line
from keras_fvvae.zoo.manifests import MANIFEST, check_file, parse_manifest, read
from keras_fvvae.zoo.remote.addresses import parse_hub
from keras_fvvae.zoo.remote.errors import MissingError, NetworkError

CARD = "README.md"
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_COMMIT = re.compile("[0-9a-f]{40}")
# The Hub's answer where another commit came between.
_CHANGED = 412


class Repository(NamedTuple):
    """A repository that is there: its last commit, the pack in it (`None`: none yet) and the names of its files."""

    commit: str
    manifest: dict[str, Any] | None
    files: frozenset[str]


def bring(address: str) -> tuple[Path, dict[str, Any]]:
    """Brings the pack of a repository to this machine.

    Args:
        address: `"hf://ORG/NAME"`, or `"hf://ORG/NAME@REVISION"`. All files are of the commit that the revision is
            at when its manifest is read.

    Returns:
        Tuple: the folder that has its files, whose sizes and SHA-256 were checked, and its manifest.

    Raises:
        MissingError, NetworkError: if there is no such repository or pack, or the Hub cannot be reached and the files
            are not in the cache.
        WeightsError: if huggingface_hub is not installed, the files are not those of the manifest, or the Hub refuses.
    """
    repository, revision = parse_hub(address)
    if not _COMMIT.fullmatch(revision or ""):
        _warn_unless_reached(address)
    path, manifest = _checked(address, repository, MANIFEST, revision, _parsed)
    commit = path.parent.name  # the cache has a folder for each
    for name, listed in manifest["files"].items():
        _checked(address, repository, name, commit, partial(check_file, digest=listed["sha256"], size=listed["size"]))
    return path.parent, manifest


def open_repository(address: str) -> Repository:
    """The repository that a pack is to be published to; made, where there is none.

    Raises:
        WeightsError: for an address with a revision, or as `bring`.
    """
    repository, revision = parse_hub(address)
    if revision is not None:
        raise WeightsError(f"A pack is published as the newest commit: give {address.partition('@')[0]} alone.")
    with _named_errors(address, "published to"):
        api = _api()
        api.create_repo(repository, exist_ok=True)
        info = api.model_info(repository)
    files = frozenset(file.rfilename for file in info.siblings)
    manifest = _checked(address, repository, MANIFEST, info.sha, _parsed)[1] if MANIFEST in files else None
    return Repository(info.sha, manifest, files)


def commit(address: str, to: Repository, contents: dict[str, bytes | str | Path], message: str) -> str:
    """Commits a pack, unless somebody was faster; files of the pack before that are not of this one are deleted.

    Args:
        address: `"hf://ORG/NAME"`.
        to: its state, as `open_repository` gave it.
        contents: by name the files' bytes or paths, the manifest and `README.md` among them.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        NetworkError, WeightsError: if that cannot be done.
    """
    before = set() if to.manifest is None else to.manifest["files"].keys() & to.files
    with _named_errors(address, "published to"):
        package = _package()
        operations = [package.CommitOperationDelete(name) for name in sorted(before - contents.keys())]
        for name, content in contents.items():
            of_file = content if isinstance(content, bytes) else str(content)
            operations.append(package.CommitOperationAdd(path_in_repo=name, path_or_fileobj=of_file))
        done = _api().create_commit(
            parse_hub(address).repository, operations, commit_message=message, parent_commit=to.commit
        )
    return f"{address.rstrip('/')}@{done.oid}"


def _warn_unless_reached(address: str) -> None:
    """Says that what a branch or tag was is taken, where huggingface_hub would take it without a word.

    Raises:
        NetworkError: at once, where there is nothing to take; huggingface_hub would try for half a minute.
    """
    repository, revision = parse_hub(address)
    try:
        with _named_errors(address, "read"):
            _api().model_info(repository, revision=revision)
    except NetworkError as error:
        try:
            kept = _api().hf_hub_download(repository, MANIFEST, revision=revision, local_files_only=True)
        except _package().errors.LocalEntryNotFoundError:
            raise error from error.__cause__
        if not _package().constants.HF_HUB_OFFLINE:  # which asks for that
            warnings.warn(f"{error} The copy in {Path(kept).parent} is used.", stacklevel=2)


def _parsed(path: Path) -> dict[str, Any]:
    return parse_manifest(read(path), path, None)


def _checked(
    address: str, repository: str, name: str, revision: str | None, check: Callable[[Path], Any]
) -> tuple[Path, Any]:
    """A file of a repository, and what `check` gives for it; fetched anew where the cached one does not pass."""

    def fetched(**arguments: Any) -> Path:
        with _named_errors(address, "read"):
            return Path(_api().hf_hub_download(repository, name, revision=revision, **arguments))

    path = fetched()
    with contextlib.suppress(WeightsError):
        return path, check(path)
    path = fetched(force_download=True)
    try:
        return path, check(path)
    except WeightsError as error:
        raise WeightsError(f"The pack {address} cannot be used: {error}") from error


def _package() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors  # its lazy names leave these modules out
    except ImportError as error:
        raise WeightsError('Addresses hf://... need huggingface_hub: pip install "keras_fvvae[hub]"') from error
    return huggingface_hub


def _api() -> Any:
    return _package().HfApi(library_name="keras_fvvae", library_version=__version__)


@contextlib.contextmanager
def _named_errors(address: str, done: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into one sentence."""
    errors = _package().errors
    repository, revision = parse_hub(address)
    try:
        yield
    except WeightsError:
        raise
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{address} is only for those whom its authors let in: ask them on the repository's page, and {_LOG_IN}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise MissingError(f"{address} is not on the Hub, or is private: check the name, or {_LOG_IN}.") from error
    except errors.RevisionNotFoundError as error:
        raise MissingError(f"{repository} has no revision {revision!r} on the Hub: check the address.") from error
    except errors.LocalEntryNotFoundError as error:
        why = first_line(error.__cause__ or error).rstrip(".")
        raise NetworkError(
            f"{address} cannot be {done}, and is not in the cache: {why}. Check the network, or HF_ENDPOINT and "
            f"HF_HUB_OFFLINE where they are set."
        ) from error
    except errors.EntryNotFoundError as error:
        raise MissingError(f"{address} is no pack of keras_fvvae: it lacks a file of one, or {MANIFEST}.") from error
    except errors.HFValidationError as error:
        raise WeightsError(f"{address} is not an address of the Hub: {first_line(error).rstrip('.')}.") from error
    except errors.HfHubHTTPError as error:
        raise _refused(address, done, error) from error
    except Exception as error:  # of httpx, of a disk, of the storage behind the Hub
        why = first_line(error).rstrip(".")
        raise NetworkError(f"{address} cannot be {done}: {why}. Check the network and the disk.") from error


def _refused(address: str, done: str, error: Any) -> WeightsError:
    status = error.response.status_code
    if status in (401, 403):
        return WeightsError(f"{address} cannot be {done}: the Hub wants a token that may do so; {_LOG_IN}.")
    if status == _CHANGED:
        return WeightsError(f"{address} cannot be {done}: it was changed meanwhile. Publish again.")
    return NetworkError(f"{address} cannot be {done}: HTTP {status}, {first_line(error).rstrip('.')}. Try later.")
