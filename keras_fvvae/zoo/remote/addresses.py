"""The one place that tells kinds of addresses apart.

    runs/birds                        a path: no "://"
    https://..., http://...           a file server                              `downloads`
    s3://..., gs://..., az://...      an object store, as fsspec knows them      `filesystems`
    hf://ORG/NAME, ...@REVISION       a repository of the Hugging Face Hub       `hub`

The first three can be roots of a zoo, with many entries and versions. A repository of the Hub holds one pack, whose
versions are its commits.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable
from typing import NamedTuple

from keras_fvvae.errors import WeightsError

HTTP = ("http", "https")
# Object stores, and the package that reaches them. Others that fsspec knows are not taken: some of them read this
# machine's files, or take addresses apart that stand inside of addresses.
STORES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "memory": "fsspec"}
HUB = "hf://"
_REPOSITORY = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(\w[\w./-]*))?/?", re.ASCII)


class HubAddress(NamedTuple):
    """A repository of the Hub, `"ORG/NAME"`, and a branch, tag or commit of it; `None`: its main branch."""

    repository: str
    revision: str | None


def is_url(text: object) -> bool:
    """Whether text is a URL of any scheme, rather than a path.

    Example:
        >>> is_url("https://example.org/zoo"), is_url("hf://someone/birds"), is_url("runs/digits_conv")
        (True, True, False)
    """
    return "://" in str(text)


def is_hub(text: object) -> bool:
    """Whether text is an address of the Hub.

    Example:
        >>> is_hub("hf://someone/birds"), is_hub("https://huggingface.co/someone/birds")
        (True, False)
    """
    return str(text).startswith(HUB)


def parse_hub(address: str) -> HubAddress:
    """The parts of an address of the Hub.

    Raises:
        WeightsError: if it is none.

    Example:
        >>> parse_hub("hf://someone/birds@v2")
        HubAddress(repository='someone/birds', revision='v2')
    """
    match = _REPOSITORY.fullmatch(address)
    if match is None:
        raise WeightsError(
            f"{address} is not an address of the Hugging Face Hub: give hf://ORG/NAME, or hf://ORG/NAME@REVISION of a "
            f"branch, tag or commit."
        )
    return HubAddress(*match.groups())


def entry_in(url: str) -> str | None:
    """The entry that the URL of a pack, or of an entry's packs, names; `None` on the Hub, where the pack says it.

    Example:
        >>> entry_in("https://example.org/zoo/birds/2/manifest.json"), entry_in("s3://bucket/zoo/birds")
        ('birds', 'birds')
        >>> entry_in("hf://someone/anything") is None
        True
    """
    if is_hub(url):
        return None
    names = [part for part in re.sub(r"/(index|manifest)\.json$", "", url.rstrip("/")).split("/") if part]
    return names[-2] if names[-1].isdigit() else names[-1]


def url_parts(url: str) -> urllib.parse.SplitResult:
    """Scheme, server and path of a URL.

    Raises:
        WeightsError: if it is none.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # looked at only when it is asked for
        return parts
    except ValueError as error:
        raise WeightsError(f"{url} is not a URL that can be used: {error}.") from error


def scheme(url: str) -> str:
    """What stands before `://`."""
    return url_parts(url).scheme


def require_scheme(url: str, known: Iterable[str] = (*HTTP, *STORES), what: str = "") -> None:
    """Raises a `WeightsError` for a URL of a scheme that is not known; `what` says where the URL stood."""
    if scheme(url) not in known:
        *first, last = known
        raise WeightsError(
            f"{what} {url} cannot be used: only {', '.join(first)} and {last} are, not {scheme(url)}. Copy it to a "
            f"folder instead.".strip()
        )
    if not url_parts(url).netloc:
        raise WeightsError(f"{what} {url} is not a URL that can be used: it names no server.".strip())
