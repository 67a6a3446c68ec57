"""Versions come and go under load; a broken one changes nothing."""

import concurrent.futures
import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
import requests
import tensorflow as tf

from keras_fvvae.errors import RunError
from keras_fvvae.serving import ModelConfig, Server, ServerSettings, read_models_config

SETTINGS = ServerSettings(port=0, grpc_port=None, poll_interval=0.05, stop_timeout=2.0)


def install(source, base, version):
    """Copies a SavedModel beside and renames it, as an export does."""
    partial = base / f".partial-{version}"
    shutil.copytree(source, partial)
    os.replace(partial, base / str(version))


def factor(server, path=""):
    answer = requests.post(f"{server.url}/v1/models/m{path}:predict", json={"instances": [[1, 2]]})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0][0]


def status(server):
    versions = requests.get(f"{server.url}/v1/models/m").json()["model_version_status"]
    return {int(one["version"]): one for one in versions}


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def base(tmp_path, number_versions):
    install(number_versions[1], tmp_path, 1)
    return tmp_path


@pytest.fixture
def server(base):
    with Server([ModelConfig("m", str(base))], SETTINGS).running() as running:
        yield running


def test_replaced_under_load(server, base, number_versions):
    """No request fails, and each gets the answer of one of the two versions."""
    stop, answers = threading.Event(), []

    def ask():
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(f"{server.url}/v1/models/m:predict", json={"instances": [[1, 2]]})
                answers.append((answer.status_code, answer.json().get("predictions")))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(ask) for _ in range(4)]
        install(number_versions[2], base, 2)
        wait_for(lambda: status(server).get(1, {}).get("state") == "END")
        stop.set()
        for job in jobs:
            job.result()
    assert {code for code, _ in answers} == {200}
    assert {tuple(rows[0]) for _, rows in answers} <= {(1.0, 2.0), (2.0, 4.0)}
    assert answers[0][1] == [[1.0, 2.0]]
    assert factor(server) == 2.0
    assert status(server)[2]["state"] == "AVAILABLE"
    gone = requests.post(f"{server.url}/v1/models/m/versions/1:predict", json={"instances": [[1, 2]]})
    assert gone.status_code == 404


def test_requests_finish_on_the_version_they_began_with(server, base, number_versions):
    body = {"signature_name": "slow", "instances": [300]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        began = threading.Event()

        def ask():
            began.set()
            return requests.post(f"{server.url}/v1/models/m:predict", json=body).json()

        job = pool.submit(ask)
        began.wait()
        time.sleep(0.1)
        install(number_versions[3], base, 2)
        assert job.result() == {"predictions": [300.0]}
    wait_for(lambda: factor(server) == 3.0)


BREAKAGES = {
    "empty folder": lambda path: path.mkdir(),
    "not a protocol buffer": lambda path: (path.mkdir(), (path / "saved_model.pb").write_bytes(b"garbage" * 50)),
    "no variables": lambda path: shutil.rmtree(path / "variables"),
    "truncated variables": lambda path: _truncate(next((path / "variables").glob("*.data-*"))),
    "truncated graph": lambda path: _truncate(path / "saved_model.pb"),
    "bad warmup": lambda path: _write_warmup(path, [[1.0, 2.0, 3.0]]),
}


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _write_warmup(path, values):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32(values)))
    (path / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(path / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_version_leaves_the_old_one(server, base, number_versions, breakage, tmp_path_factory):
    broken = tmp_path_factory.mktemp("broken") / "2"
    if breakage not in ("empty folder", "not a protocol buffer"):
        shutil.copytree(number_versions[2], broken)
    BREAKAGES[breakage](broken)
    os.rename(broken, base / "2")
    wait_for(lambda: status(server).get(2, {}).get("state") == "END")
    found = status(server)
    assert found[2]["status"]["error_code"] == "UNKNOWN"
    assert found[2]["status"]["error_message"]
    assert str(base) not in json.dumps(found[2])  # how the server's disk looks is not the clients' to know
    assert found[1]["state"] == "AVAILABLE"
    assert factor(server) == 1.0
    assert (
        'serving_load_failures_total{model="m"} 1.0' in requests.get(f"{server.url}/monitoring/prometheus/metrics").text
    )


def test_a_mended_version_is_tried_again(server, base, number_versions):
    (base / "2").mkdir()
    wait_for(lambda: status(server).get(2, {}).get("state") == "END")
    shutil.copytree(number_versions[2], base / "2", dirs_exist_ok=True)
    wait_for(lambda: factor(server) == 2.0)


def test_warmup_requests_run(base, number_versions):
    install(number_versions[2], base, 2)
    _write_warmup(base / "2", [[1.0, 2.0]])
    with Server([ModelConfig("m", str(base))], SETTINGS).running() as server:
        assert factor(server) == 2.0


def test_rollback(server, base, number_versions):
    install(number_versions[2], base, 2)
    wait_for(lambda: factor(server) == 2.0)
    shutil.rmtree(base / "2")
    wait_for(lambda: factor(server) == 1.0)


def test_all_folders_gone(server, base):
    shutil.rmtree(base)
    time.sleep(0.3)
    assert factor(server) == 1.0


def test_several_versions_with_labels(base, number_versions, tmp_path_factory):
    install(number_versions[2], base, 2)
    install(number_versions[3], base, 10)
    config = tmp_path_factory.mktemp("config") / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base}" model_platform: "tensorflow"\n'
        "model_version_policy { specific { versions: 1 versions: 10 } }\n"
        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 10 } } }'
    )
    with Server(read_models_config(config), SETTINGS).running() as server:
        assert factor(server) == 3.0  # the highest
        assert factor(server, "/labels/stable") == factor(server, "/versions/1") == 1.0
        assert factor(server, "/labels/canary") == 3.0
        assert set(status(server)) == {1, 10}


@pytest.mark.parametrize(
    ("text", "message"),
    [("model_config_list {", "is not a models.config"), ("", "names no model"), ("hello", "is not a models.config")],
)
def test_wrong_models_config(tmp_path, text, message):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(RunError, match=message):
        read_models_config(path)


def test_policies():
    versions = [1, 2, 10]
    assert ModelConfig("m", "", latest=2).wanted(versions) == [2, 10]
    assert ModelConfig("m", "", versions="all").wanted(versions) == versions


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nothing", "holds no version"),
        (".", "holds no version"),
        ("version", "is a version itself; serve its parent"),
        ("broken", "has no version that can be served. version 3: "),
    ],
)
def test_nothing_to_serve(tmp_path, number_versions, folder, message):
    shutil.copytree(number_versions[1], tmp_path / "version")
    (tmp_path / "broken" / "3").mkdir(parents=True)
    with (
        pytest.raises(RunError, match=message),
        Server([ModelConfig("m", str(tmp_path / folder))], SETTINGS).running(),
    ):
        pass
