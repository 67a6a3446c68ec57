"""What a SavedModel would run, told without loading it."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_fvvae.data import Views
from keras_fvvae.errors import RunError
from keras_fvvae.export import export_fused, export_saved_model
from keras_fvvae.serving import ModelConfig, Server, ServerSettings
from keras_fvvae.serving.operations import require_known_operations, unknown_operations, verify_export
from tests.serving.conftest import save
from tests.support.operations import classifier_of


@pytest.fixture(scope="module")
def classifier():
    return classifier_of()


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    return export_saved_model(classifier, tmp_path_factory.mktemp("export"), Views((8, 8)), "video")


class Evil(tf.Module):
    """Answers, and does more."""

    def __init__(self, deed):
        super().__init__()
        self.deed = deed
        self.weight = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.float32, name="x")])
    def serve(self, x):
        with tf.control_dependencies(self.deed(x)):
            return {"y": x * self.weight}

    def signatures(self):
        return {"serving_default": self.serve}


@tf.function
def _hidden(text):
    return tf.io.read_file(text)


def _of_python(x):
    return [tf.numpy_function(lambda value: value, [x], tf.float32)]


DEEDS = {
    "writes a file": (lambda x: [tf.io.write_file("/tmp/x", "x")], {"WriteFile"}),
    "reads a file": (lambda x: [tf.io.read_file("/etc/passwd")], {"ReadFile"}),
    "reads a file in a function": (lambda x: [_hidden("/etc/passwd")], {"ReadFile"}),
    "reads a file in a branch": (
        lambda x: [tf.cond(x[0] > 7, lambda: tf.io.read_file("/etc/passwd"), lambda: tf.constant(""))],
        {"ReadFile"},
    ),
    "reads a file for each row": (
        lambda x: [tf.map_fn(lambda _: tf.io.read_file("/etc/passwd"), x, fn_output_signature=tf.string)],
        {"ReadFile"},
    ),
    "reads a file in a data set": (
        lambda x: [tf.data.Dataset.from_tensors("/etc/passwd").map(tf.io.read_file).get_single_element()],
        {"ReadFile"},
    ),
    "lists a folder": (lambda x: [tf.io.matching_files("/etc/*")], {"MatchingFiles"}),
    "saves variables anywhere": (
        lambda x: [tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[x])],
        {"SaveV2"},
    ),
    "reads variables from anywhere": (
        lambda x: tf.raw_ops.RestoreV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]),
        {"RestoreV2"},
    ),
    "calls Python": (_of_python, {"PyFunc"}),
    "prints": (lambda x: [tf.print(x)], {"PrintV2"}),
}


@pytest.mark.parametrize("name", DEEDS)
def test_deeds_are_named(tmp_path, name):
    deed, expected = DEEDS[name]
    path = save(Evil(deed), tmp_path / "evil" / "1")
    assert expected <= unknown_operations(path).keys()
    with pytest.raises(
        RunError, match=f"1 holds operations that no export of keras_fvvae has: .*{min(expected)} .in "
    ) as e:
        verify_export(path.parent)
    assert "\n" not in str(e.value)


def test_exports_are_known(exported, classifier, tmp_path):
    require_known_operations(exported)
    views = [Views((8, 8), resize="pad"), Views((8, 8), modality="flow")]
    fused = export_fused([classifier, classifier], tmp_path, views, valid_output=True, half_svm=True)
    assert verify_export(fused.parent) == [fused]
    assert verify_export(fused) == [fused]


@pytest.mark.parametrize(
    "options", [{"representation": "vlad"}, {"representation": "gmm_fisher_vector"}, {"attention": True}]
)
def test_exports_of_other_representations_are_known(options, tmp_path):
    require_known_operations(export_saved_model(classifier_of(**options), tmp_path))


def test_what_the_saver_calls_is_known_to_nothing_else(exported, tmp_path):
    """A signature that calls the function with which variables are saved would write files."""
    path = tmp_path / "1"
    shutil.copytree(exported, path)
    content = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (graph,) = content.meta_graphs
    saver = next(node for node in graph.graph_def.node if node.name == graph.saver_def.save_tensor_name.split(":")[0])
    twin = graph.graph_def.node.add()
    twin.CopyFrom(saver)
    twin.name = "a_call_of_its_own"
    (path / "saved_model.pb").write_bytes(content.SerializeToString())
    assert {"SaveV2", "MergeV2Checkpoints"} <= unknown_operations(path).keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no SavedModel: saved_model.pb cannot be read .No such file or directory."),
        (b"", "is damaged, or no SavedModel: it holds no graph"),
        (b"this is text", "is damaged, or no SavedModel"),
        (b"\x0a\xff\xff\xff\xff\x0f", "is damaged, or no SavedModel"),
    ],
)
def test_what_is_no_saved_model(tmp_path, content, message):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(RunError, match=message):
        unknown_operations(tmp_path)
    with pytest.raises(RunError, match="is no SavedModel, and holds no version folders of one"):
        verify_export(tmp_path / "nowhere")


def test_a_server_that_looks_first(exported, tmp_path):
    """It neither loads nor warms up what it refuses; what it knows goes on being served."""
    trace = tmp_path / "trace"
    save(Evil(lambda x: [tf.io.write_file(str(trace), "x")]), tmp_path / "evil" / "1")
    settings = ServerSettings(port=0, grpc_port=0, verify_operations=True)
    with (
        pytest.raises(RunError, match=r"version 1: .*holds operations that no export of keras_fvvae has: .*WriteFile"),
        Server([ModelConfig("evil", str(tmp_path / "evil"))], settings).running(),
    ):
        pass
    assert not trace.exists()
    with Server([ModelConfig("videos", str(exported.parent))], settings).running() as server:
        assert server.engine.repository.statuses("videos")[0].state == "AVAILABLE"


def test_a_flag_of_text():
    with pytest.raises(ValueError, match="`verify_operations` must be true or false. Received: .*='no'"):
        ServerSettings(verify_operations="no")
    assert np.isfinite(ServerSettings(verify_operations=True).stop_timeout)
