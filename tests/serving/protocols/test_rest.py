"""TensorFlow Serving's REST protocol, as a client sees it."""

import base64

import numpy as np
import pytest
import requests
import tensorflow as tf

from tests.serving.conftest import png


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.fixture
def images(server):
    return f"{server.url}/v1/models/images"


@pytest.fixture
def numbers(server):
    return f"{server.url}/v1/models/numbers"


def test_status(images):
    expected = [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    for path in ("", "/versions/1", "/labels/stable"):
        response = requests.get(images + path)
        assert response.json() == {"model_version_status": expected}
        assert response.headers["content-type"] == "application/json"


def test_metadata(images):
    content = requests.get(f"{images}/metadata").json()
    assert content["model_spec"] == {"name": "images", "signature_name": "", "version": "1"}
    signature = content["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_image:0",
    }
    assert set(signature["outputs"]) == {"scores", "labels", "label_scores"}
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert requests.get(f"{images}/versions/1/metadata").json() == content


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable"])
def test_rows_and_columns(images, path):
    contents = [b64(png((255, 0, 51))), b64(png((0, 255, 51)))]
    rows = requests.post(f"{images}{path}:predict", json={"instances": [{"image": one} for one in contents]})
    assert rows.status_code == 200
    first, second = rows.json()["predictions"]
    assert first["labels"] == ["red", "blue"]
    assert second["labels"] == ["green", "blue"]
    np.testing.assert_allclose(first["scores"], [1, 0, 0.2], atol=1e-6)
    columns = requests.post(f"{images}{path}:predict", json={"inputs": {"image": contents}}).json()["outputs"]
    assert columns == {name: [first[name], second[name]] for name in first}


def test_a_single_output_has_no_name(images):
    request = {"signature_name": "encode", "instances": [b64(png((9, 9, 9)))]}
    assert requests.post(f"{images}:predict", json=request).json() == {"predictions": [[9.0] * 48]}


def test_same_as_tensorflow(saved_models, images):
    contents = [png((i, 2 * i, 255 - i)) for i in range(7)]
    expected = tf.saved_model.load(str(saved_models / "images" / "1")).signatures["serving_default"](
        image=tf.constant(contents)
    )
    answer = requests.post(f"{images}:predict", json={"inputs": [b64(one) for one in contents]}).json()["outputs"]
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-6)
    assert [[label.encode() for label in row] for row in answer["labels"]] == expected["labels"].numpy().tolist()


def test_signature_without_batch_dimension(numbers):
    """`flag` is a scalar, so that the call is not batched; `_bytes` is base64."""
    request = {"signature_name": "mixed", "inputs": {"ids": [1, 2], "flag": False}}
    assert requests.post(f"{numbers}:predict", json=request).json()["outputs"] == {
        "ids": [-1, -2],
        "name_bytes": [{"b64": "/wA="}, {"b64": "/wA="}],
    }


def test_videos(server):
    red, blue = b64(png((255, 0, 0))), b64(png((0, 0, 255)))
    request = {
        "instances": [
            {"frames": [red, blue, red], "num_frames": 2},
            {"frames": [blue, b64(b"no image"), b64(b"")], "num_frames": 1},
        ]
    }
    answer = requests.post(f"{server.url}/v1/models/videos:predict", json=request).json()["predictions"]
    np.testing.assert_allclose([row["scores"] for row in answer], [[0.5, 0, 0.5], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/nothing", 404, "Could not find any versions of model nothing"),
        ("GET", "/v1/models/images/versions/7", 404, "Could not find any versions of model images with version 7"),
        ("GET", "/v1/models/images/labels/canary", 400, "Unrecognized servable version label: canary"),
        ("GET", "/v1/models/images/versions/7/metadata", 404, "Servable not found for request: Specific(images, 7)"),
        ("POST", "/v1/models/nothing:predict", 404, "Servable not found for request: Latest(nothing)"),
        ("POST", "/v1/models/images/versions/7:predict", 404, "Servable not found for request: Specific(images, 7)"),
        ("POST", f"/v1/models/images/versions/{10**30}:predict", 400, "to numeric"),
        ("POST", "/v1/models/images/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
        ("POST", "/v1/models/images:classify", 501, "use predict"),
        ("POST", "/v1/models/images:train", 400, "Malformed request: POST /v1/models/images:train"),
        ("POST", "/v1/models/images", 400, "Malformed request: POST /v1/models/images"),
        ("GET", "/v1/models/images:predict", 400, "Malformed request: GET /v1/models/images:predict"),
        ("DELETE", "/v1/models/images", 400, "Malformed request: DELETE"),
        ("GET", "/v1/models", 400, "Malformed request"),
        ("GET", "/v2/models/images", 404, "Malformed request"),
        ("GET", "/../../etc/passwd", 404, "Malformed request"),
        ("POST", "/", 405, "Malformed request"),
    ],
)
def test_errors(server, method, path, status, message):
    response = requests.request(method, server.url + path, json={"instances": ["a"]} if method == "POST" else None)
    assert response.status_code == status
    assert message in response.json()["error"]
    assert list(response.json()) == ["error"]


def test_metrics(server, images):
    url = f"{server.url}/monitoring/prometheus/metrics"
    series = 'serving_requests_total{entry="REST",model="images",status="%s"}'

    def value(status):
        lines = requests.get(url).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(series % status))

    before = value("OK"), value("INVALID_ARGUMENT")
    requests.post(f"{images}:predict", json={"instances": [b64(png((0, 0, 0)))]})
    requests.post(f"{images}:predict", json={"instances": [b64(b"no image")]})
    assert (value("OK"), value("INVALID_ARGUMENT")) == (before[0] + 1, before[1] + 1)
    for _ in range(3):
        requests.get(f"{server.url}/v1/models/unknown_to_all")
    text = requests.get(url).text
    assert "unknown_to_all" not in text
    assert 'serving_model_available{model="images",version="1"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "serving_queued_images 0.0" in text


def test_page_is_served_without_anything_from_elsewhere(server):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        response = requests.get(server.url + path)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert "https://" not in response.text
    assert requests.get(f"{server.url}/models.json").json() == ["images", "videos", "numbers"]
