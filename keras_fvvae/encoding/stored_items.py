"""Items in tar files, here or in an object store, and single files in a store: found by name."""

from __future__ import annotations

import contextlib
import glob
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from keras_fvvae.data.collection import KINDS
from keras_fvvae.data.readers.media import is_image, is_video
from keras_fvvae.encoding.items import TAR, Item, Shard, is_compressed, shard_of
from keras_fvvae.errors import DataError, WeightsError
from keras_fvvae.utils.files import reason
from keras_fvvae.zoo.remote import filesystems
from keras_fvvae.zoo.remote.addresses import STORES, is_url, require_scheme

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
# Of a sample of WebDataset: the file that holds its class. Longer content is none.
LABEL = "cls"
_MAX_LABEL_BYTES = 1000
_MOST_FILES = 100_000


class StoredItems(NamedTuple):
    """What was found.

    Attributes:
        kind: `"image"` or `"video"`.
        items: `Item`s, in the order of the files and of what is in them.
        labels: dictionary from the name of an item to its class, where it has one.
        absent: dictionary from the names of links in tar files that lead to no file there to what they are.
    """

    kind: str
    items: list[Item]
    labels: dict[str, str]
    absent: dict[str, str]


def find_stored(data: str | os.PathLike, kind: str = "auto", shard: Shard | None = None) -> StoredItems:
    """The images or videos in tar files or in an object store, or one shard of them.

    Tar files are the shards of WebDataset: what is an image or a video by its name is an item, and `x/0001.cls` beside
    `x/0001.jpg` holds its class. Other files are passed over, as are hidden ones; of one name twice the later counts,
    as for tar. A hard link is the file before it that it names; one of a file that is not there is counted, as are
    symbolic links, which are followed nowhere. Only the heads of the files in a tar are read.

    Args:
        data: a tar file, or a pattern of some, such as `"shards/*.tar"` or `"shards/{000..099}.tar"`, here or in a
            store; or a folder of a store, such as `"s3://bucket/photos"`. Without images and videos, the tar files
            of such a folder are taken.
        kind: `"image"`, `"video"`, or `"auto"`: videos if there are any.
        shard: a `Shard`; `None`: all items.

    Returns:
        A `StoredItems`. The name of an item is its path below the folder, or `TAR/MEMBER`.

    Raises:
        DataError: if nothing is found, a tar file is damaged or compressed, or the store cannot be read.
    """
    if kind not in (*KINDS, "auto"):
        raise ValueError(f"`kind` must be one of {(*KINDS, 'auto')}. Received: kind={kind!r}")
    data = os.fspath(data)
    files = _files(data)
    loose = {name: one for name, one in files.items() if is_image(name) or is_video(name)}
    tars = {name: one for name, one in files.items() if name.lower().endswith(TAR)}
    if compressed := [name for name in files if not loose and not tars and is_compressed(name)]:
        raise DataError(
            f"{compressed[0]} in {data} is compressed: what is in it cannot be found without unpacking all. Images and "
            f"videos are compressed themselves: pack them as a plain .tar."
        )
    labels: dict[str, str] = {}
    absent: dict[str, str] = {}
    found = {name: Item(f"{name}:{size}", name, source) for name, (source, size) in loose.items()}
    for name, (source, _) in {} if loose else tars.items():
        for member, place, label in _members(source):
            whole = f"{name}/{member}"
            if isinstance(place, str):
                absent[whole] = place
            else:
                found[whole] = Item(f"{whole}:{place[1]}", whole, source, None, place)
                labels[whole] = label
    if kind == "auto":
        kind = "video" if any(map(is_video, found)) else "image"
    wanted = is_video if kind == "video" else is_image
    shard = shard or Shard()
    items = [one for name, one in found.items() if wanted(name) and shard_of(name, shard.count) == shard.number]
    if not any(map(wanted, found)):
        example = "".join(f" {name} is {what}." for name, what in list(absent.items())[:1])
        raise DataError(
            f"{data} holds no {kind}s by their names: {len(files):,} files, {len(tars):,} of them tar files.{example}"
        )
    return StoredItems(
        kind,
        items,
        {item.name: labels[item.name] for item in items if labels.get(item.name)},
        {name: what for name, what in absent.items() if wanted(name) and shard_of(name, shard.count) == shard.number},
    )


def _files(data):
    """Dictionary from the name below the fixed part of a pattern to a file's path or URL, and its size."""
    if is_url(data):
        try:
            require_scheme(data, tuple(STORES), "The data")
        except WeightsError as error:
            raise DataError(str(error)) from error
    else:
        data = os.path.abspath(data)
    found = {}
    for pattern in _expanded(data):
        try:
            some = filesystems.find(pattern) if is_url(pattern) else _local(pattern)
        except WeightsError as error:
            raise DataError(str(error)) from error
        if not some:
            raise DataError(f"{pattern} does not exist, or is empty.")
        found |= some
    fixed = re.split(r"[*?\[{]", data, maxsplit=1)[0]
    base = fixed if fixed == data and data not in found else fixed.rpartition("/")[0]
    named = {url[len(base) :].strip("/"): (url, size) for url, size in sorted(found.items())}
    return {name: one for name, one in named.items() if not any(part.startswith(".") for part in name.split("/"))}


def _expanded(pattern):
    """`{08..11}` written out, with zeros in front as the first number has them."""
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    if not int(first) <= int(last) < int(first) + _MOST_FILES:
        raise DataError(f"{pattern} names no files: the numbers in braces must rise, and be at most {_MOST_FILES:,}.")
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [one for number in numbers for one in _expanded(pattern.replace(match[0], number, 1))]


def _local(pattern):
    paths = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    return {path: os.path.getsize(path) for path in sorted(paths) if os.path.isfile(path)}


@contextlib.contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    try:
        with filesystems.opened(source) if is_url(source) else open(source, "rb") as file:
            yield file
    except WeightsError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{source} cannot be read: {reason(error)}.") from error


def _members(source):
    """Triples of the images and videos in a tar file: name, first byte and length, class or an empty text.

    Of a link to no file there what it is takes the place of the bytes.
    """
    members, labels = {}, {}
    places = {}  # of all files by now, which hard links name
    with _opened(source) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if not (member.isreg() or member.islnk() or member.issym()):
                        continue
                    place = _place(member, places)
                    places[posixpath.normpath(member.name)] = place
                    name = member.name.removeprefix("./")
                    if any(part.startswith(".") for part in name.split("/")):
                        continue
                    if is_image(name) or is_video(name):
                        members[name] = place
                    elif _sample(name)[1] == LABEL and not isinstance(place, str) and place[1] <= _MAX_LABEL_BYTES:
                        file.seek(place[0])
                        labels[_sample(name)[0]] = file.read(place[1])
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise DataError(
                f"The tar file {source} is damaged, or compressed, after {len(members):,} images and videos: "
                f"{reason(error)}. Write it anew, or leave it out."
            ) from error
    for name, place in members.items():
        yield name, place, labels.get(_sample(name)[0], b"").decode(errors="replace").strip()


def _place(member, places):
    """First byte and length of what is in a member of a tar file; of a link to no file there what it is."""
    if member.isreg():
        return member.offset_data, member.size
    if member.issym():
        return "a symbolic link, which is not followed: pack files (tar --dereference)"
    place = places.get(posixpath.normpath(member.linkname))
    if isinstance(place, tuple):
        return place
    return f"a hard link to {member.linkname!r}, of which the tar file holds no content before it"


def _sample(name):
    """The key of a sample of WebDataset and what one of its files is: all up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    key, _, what = file.partition(".")
    return f"{folder}/{key}", what.lower()
