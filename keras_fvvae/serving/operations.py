"""What a SavedModel would run, read from its protocol buffer without loading it.

TensorFlow runs whatever a SavedModel holds: when it is loaded, for every request, and for the requests that it brings
along to be warmed up. Some operations read and write files or call Python. `KNOWN_OPERATIONS` are those that exports of
this library hold; others are refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_fvvae.errors import RunError
from keras_fvvae.serving.known_operations import KNOWN_OPERATIONS
from keras_fvvae.serving.version_folders import version_folders

if TYPE_CHECKING:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

SAVED_MODEL = "saved_model.pb"
# TensorFlow puts them into every SavedModel, to save and restore its variables. Elsewhere they write and read any file.
FILE_OPERATIONS = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})
# Protocol buffers have no more.
MOST_BYTES = 2**31 - 1
# So many are named in an error.
_NAMED = 10


def unknown_operations(path: str | os.PathLike) -> dict[str, str]:
    """The operations of a SavedModel that no export of this library holds.

    Args:
        path: its folder.

    Returns:
        Dictionary from an operation to where it is: `"the graph"` or a function's name.

    Raises:
        RunError: if there is no SavedModel, or it is damaged.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    file = Path(path) / SAVED_MODEL
    try:
        if file.stat().st_size > MOST_BYTES:
            raise RunError(f"{file} is larger than a SavedModel can be.")
        content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except OSError as error:
        raise RunError(f"{path} is no SavedModel: {SAVED_MODEL} cannot be read ({error.strerror}).") from error
    except RunError:
        raise
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise RunError(f"{file} is damaged, or no SavedModel.") from error
    if not content.meta_graphs:
        raise RunError(f"{file} is damaged, or no SavedModel: it holds no graph.")
    return _unknown(content)


def require_known_operations(path: str | os.PathLike) -> None:
    """Refuses a SavedModel that holds others.

    Raises:
        RunError: naming them; or as `unknown_operations`.
    """
    found = unknown_operations(path)
    if found:
        named = ", ".join(f"{name} (in {place})" for name, place in sorted(found.items())[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise RunError(
            f"{path} holds operations that no export of keras_fvvae has: {named}{more}. Do not load it unless you "
            f"trust whoever made it."
        )


def verify_export(path: str | os.PathLike) -> list[Path]:
    """Checks a SavedModel, or every version in a folder of exports; returns their paths.

    Raises:
        RunError: as `require_known_operations`.
    """
    path = Path(path)
    versions = [path]
    if not (path / SAVED_MODEL).exists():
        versions = [folder for _, folder in sorted(version_folders(path).items())]
    if not versions:
        raise RunError(f"{path} is no SavedModel, and holds no version folders of one.")
    for version in versions:
        require_known_operations(version)
    return versions


def _unknown(content: SavedModel) -> dict[str, str]:
    found: dict[str, str] = {}
    for graph in content.meta_graphs:
        functions = {one.signature.name: one.node_def for one in graph.graph_def.library.function}
        saver = _saver_functions(graph, functions)
        places: Iterable[tuple[str, Any]] = [("the graph", graph.graph_def.node), *functions.items()]
        for place, nodes in places:
            allowed = KNOWN_OPERATIONS | FILE_OPERATIONS if place in saver else KNOWN_OPERATIONS
            for node in nodes:
                # A call by a function's name, as old graphs have it, is looked at where the function is.
                if node.op not in allowed and node.op not in functions:
                    found.setdefault(node.op, place)
    return found


def _saver_functions(graph, functions) -> set[str]:
    """Functions that nothing but the saver calls: neither a signature, nor an object, nor another function."""
    nodes = {node.name: node for node in graph.graph_def.node}
    saver = graph.saver_def
    roots = {_node_name(name) for name in (saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name)}
    own = set(_called(nodes[name] for name in roots if name in nodes)) & functions.keys()
    others = [node for name, node in nodes.items() if name not in roots]
    others += [node for name, body in functions.items() if name not in own for node in body]
    return own - set(_called(others)) - set(graph.object_graph_def.concrete_functions)


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """Names of the functions that nodes call or hold."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (one.name for one in value.list.func)


def _node_name(tensor):
    return tensor.removeprefix("^").partition(":")[0]
