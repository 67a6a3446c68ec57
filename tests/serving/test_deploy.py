"""The files in `deploy/`: its page is executed from `zoo.load` to curl's answer, its configurations are read."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
import yaml

from keras_fvvae.serving import ModelConfig, Server, ServerSettings, read_models_config

FOLDER = Path(__file__).parents[2] / "deploy"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def at(server, text):
    return text.replace("localhost:8501", f"127.0.0.1:{server.port}").replace(
        "localhost:8500", f"127.0.0.1:{server.grpc_port}"
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, ask = blocks("python")
    serve, compose, container, curl, triton = blocks("sh")
    exec(compile(make, "deploy/README.md, 1", "exec"), {})
    assert serve == "keras-fvvae serve models/digits\n"
    for block in (compose, container):
        assert Path(FOLDER.parent, re.search(r"-f (\S+)", block)[1]).is_file()
    assert "served/photos/onnx" in triton
    models = [ModelConfig("digits", "models/digits")]
    with Server(models, ServerSettings(port=0, grpc_port=0)).running() as server:
        answer = subprocess.run(["bash", "-c", at(server, curl)], capture_output=True, check=True).stdout
        (prediction,) = json.loads(answer)["predictions"]
        assert prediction["label_scores"] == sorted(prediction["scores"], reverse=True)[:5]
        exec(compile(at(server, ask), "deploy/README.md, 2", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    label = prediction["labels"][0]
    assert [line.split()[:2] for line in lines[-2:]] == [["digit.png", label]] * 2


def test_models_config():
    assert read_models_config(FOLDER / "models.config") == [ModelConfig("digits", "/models/digits")]


def test_compose_file_mounts_what_is_there():
    service = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())["services"]["serving"]
    mounted = {target: source for source, target, _ in (v.rsplit(":", 2) for v in service["volumes"])}
    given = dict(flag.lstrip("-").split("=") for flag in service["command"])
    for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        assert (FOLDER / mounted[given[flag]]).is_file()


def health(server, tmp_path):
    """The exit status of the container's health check against a server, with `bash` from the path."""
    service = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())["services"]["serving"]
    _, shell, option, script = service["healthcheck"]["test"]
    script = script.replace("/8501", f"/{server.port}")
    return subprocess.run([shell, option, script], cwd=tmp_path, check=False, timeout=10).returncode


def dockerfile():
    """Instructions and their arguments; lines that end with a backslash are one."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line]


def image_health(port):
    """The exit status of the image's health check."""
    (check,) = (rest for word, rest in dockerfile() if word == "HEALTHCHECK")
    _, option, program = json.loads(check.partition(" CMD ")[2])
    program = program.replace(":8501", f":{port}")
    return subprocess.run([sys.executable, option, program], timeout=60, check=False).returncode


def test_health_check_of_the_image(server):
    assert image_health(server.port) == 0


@pytest.mark.parametrize("states", [["LOADING"], [], ["AVAILABLE", "END"]])
def test_image_is_healthy_where_some_version_answers(states):
    answers = {
        "/models.json": ["m"],
        "/v1/models/m": {"model_version_status": [{"state": state} for state in states]},
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answers[self.path]).encode())

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        assert (image_health(other.server_port) == 0) is ("AVAILABLE" in states)
        other.shutdown()
    assert image_health(other.server_port) != 0  # nobody is there


def test_image_is_made_of_what_is_there():
    root = FOLDER.parent
    for word, rest in dockerfile():
        if word == "COPY" and not rest.startswith("--from"):
            assert all((root / source).exists() for source in rest.split()[:-1])
    names = [word for word, _ in dockerfile()]
    assert names.index("USER") < names.index("ENTRYPOINT")
    command = json.loads(next(rest for word, rest in dockerfile() if word == "ENTRYPOINT"))
    assert command[:2] == ["keras-fvvae", "serve"]
    assert not set(command[2:]) - {"--host", "0.0.0.0"}
    service = yaml.safe_load((FOLDER / "docker-compose.server.yaml").read_text())["services"]["serving"]
    assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["read_only"] is True
    assert float(service["stop_grace_period"].rstrip("s")) > ServerSettings().stop_timeout + 2.5


def test_dashboard_asks_for_what_the_server_tells(server):
    told = requests.get(f"{server.url}/monitoring/prometheus/metrics").text
    known = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\b(?:serving|process)_\w+", query)}
    assert len(asked) > 8
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= known


def test_kserve_names_what_export_writes():
    first, second = yaml.safe_load_all((FOLDER / "kserve.yaml").read_text())
    formats = [one["spec"]["predictor"]["model"]["modelFormat"]["name"] for one in (first, second)]
    assert formats == ["tensorflow", "onnx"]


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="needs bash")
@pytest.mark.parametrize(("name", "healthy"), [("digits", True), ("others", False)])
def test_health_check(saved_models, tmp_path, name, healthy):
    models = [ModelConfig(name, str(saved_models / "numbers"))]
    with Server(models, ServerSettings(port=0, grpc_port=None)).running() as server:
        assert (health(server, tmp_path) == 0) is healthy


def test_batching_parameters_are_the_commands_defaults():
    text = (FOLDER / "batching_parameters.txt").read_text()
    given = {name: int(value) for name, value in re.findall(r"^(\w+) \{ value: (\d+) \}", text, re.MULTILINE)}
    settings = ServerSettings()
    assert given["max_batch_size"] == settings.max_batch_size
    assert given["batch_timeout_micros"] == settings.batch_timeout * 1e6
    assert given["max_enqueued_batches"] * given["max_batch_size"] == settings.max_queued


def test_monitoring_config_names_the_path_of_the_server(server):
    path = re.search(r'path: "(.+)"', (FOLDER / "monitoring.config").read_text())[1]
    assert requests.get(server.url + path).ok
