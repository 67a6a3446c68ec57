"""What a request's images may be."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_fvvae.data import decode_image
from keras_fvvae.serving.engine.image_limits import check_images
from keras_fvvae.serving.errors import ServingError
from tests.serving.conftest import bomb, png


def test_check_names_the_image():
    strings = np.array([[png((1, 2, 3))], [bomb(200)]], object)
    check_images(strings, 40_000)
    with pytest.raises(ServingError, match="Image 1 of the request claims 40,000 pixels; the limit is 39,999"):
        check_images(strings, 39_999)


def test_damaged_images_fail_or_are_left_to_the_flag():
    strings = np.array([png((1, 2, 3)), b"\x89PNG"], object)
    with pytest.raises(ServingError, match="Image 1 of the request is damaged"):
        check_images(strings, 100)
    check_images(strings, 100, flagged=True)
    assert strings.tolist() == [png((1, 2, 3)), b""]


def test_what_tensorflow_would_read_wrongly_becomes_png():
    buffer = io.BytesIO()
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    picture.save(buffer, "BMP")
    strings = np.array([png((1, 2, 3)), buffer.getvalue()], object)
    check_images(strings, 100)
    assert strings[0] == png((1, 2, 3))
    assert decode_image(strings[1]).numpy()[0, 0].tolist() == [255, 0, 0]
    broken = np.array([buffer.getvalue()[:100]], object)
    with pytest.raises(ServingError, match="Image 0 of the request is truncated or damaged"):
        check_images(broken, 100)
    check_images(broken, 100, flagged=True)
    assert broken.tolist() == [b""]


def test_scans_are_counted():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    check_images(np.array([content], object), 100)
    start = content.rindex(b"\xff\xda")
    strings = np.array([content[:start] + 200 * content[start:-2] + content[-2:]], object)
    with pytest.raises(ServingError, match=r"Image 0 of the request has 2\d\d scans; the limit is 100"):
        check_images(strings, 100)
