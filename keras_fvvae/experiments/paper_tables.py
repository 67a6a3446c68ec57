"""The paper's tables as rows: what it measured, and the recipes that measure the same on the user's data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_fvvae.experiments.row import Row
from keras_fvvae.experiments.variants import variant_rows
from keras_fvvae.recipes import load_recipe

WITHOUT_IDT = "run keras-fvvae idt and give its scores with --idt; the paper's figure"
ELSEWHERE = "another method, which this library does not run; the paper's figure"

# Tables 2, 4, 5 and 6 of Qiu et al., CVPR 2017, in percent.
TABLE_2 = {
    "ga": 74.91, "concatenation": 75.89, "ave": 73.25, "fv": 78.85, "vlad": 80.67, "bilinear": 81.39,
    "fv_vae_minus": 81.91, "fv_vae": 83.45,
}  # fmt: skip
TABLE_3 = {
    "ucf101_pool5": {"ga": 74.91, "fv_vae_minus": 81.91, "fv_vae": 83.45},
    "ucf101_pool5_ft": {"ga": 79.06, "fv_vae_minus": 82.05, "fv_vae": 82.13},
    "ucf101_res5c": {"ga": 81.57, "fv_vae_minus": 85.05, "fv_vae": 86.33},
}
NETWORKS = {"ucf101_pool5": "pool5", "ucf101_pool5_ft": "pool5 fine-tuned", "ucf101_res5c": "res5c"}
TABLE_4_OTHERS = {
    "Two-stream ConvNet": 88.1, "C3D (3 nets)": 85.2, "Factorized ST-ConvNet": 88.1, "Two-stream + LSTM": 88.6,
    "Two-stream fusion": 92.5, "Long-term temporal ConvNet": 91.7, "Key-volume mining CNN": 93.1,
    "TSN (3 modalities)": 94.2, "C3D + IDT": 90.4, "TDD + IDT": 91.5, "Long-term temporal ConvNet + IDT": 92.7,
}  # fmt: skip
TABLE_4 = {
    "FV-VAE-pool5": ("ucf101_pool5", 83.9),
    "FV-VAE-pool5 optical flow": ("ucf101_pool5_flow", 89.5),
    "FV-VAE-res5c": ("ucf101_res5c", 86.6),
}
TABLE_4_FUSED = {
    "FV-VAE-(pool5 + pool5 optical flow)": (("FV-VAE-pool5", "FV-VAE-pool5 optical flow"), 93.7),
    "FV-VAE-(res5c + pool5 optical flow)": (("FV-VAE-res5c", "FV-VAE-pool5 optical flow"), 94.2),
    "FV-VAE-(res5c + pool5 optical flow) + IDT": (("FV-VAE-res5c", "FV-VAE-pool5 optical flow", "IDT"), 95.2),
}
TABLE_5 = {
    "VGG_19-GA": ("activitynet_pool5", "ga", (66.59, 82.70, 70.22)),
    "ResNet_152-GA": ("activitynet_res5c", "ga", (71.43, 86.45, 76.56)),
    "FV-VAE-pool5": ("activitynet_pool5", "fv_vae", (72.51, 85.68, 77.25)),
    "FV-VAE-res5c": ("activitynet_res5c", "fv_vae", (78.55, 91.16, 84.09)),
}
TABLE_6 = {
    "ga": (61.0, 70.4, 65.3, 76.4),
    "fv": (70.8, 74.0, 73.6, 77.1),
    "vlad": (73.5, 76.5, 75.1, 79.8),
    "bilinear": (75.2, 78.0, 76.9, 80.8),
    "fv_vae": (79.3, 82.4, 79.5, 83.6),
}
SCENARIOS = {
    "w/o ft": "cub200_conv5_4",
    "w/ ft": "cub200_conv5_4_ft",
    "+box w/o ft": "cub200_conv5_4_box",
    "+box w/ ft": "cub200_conv5_4_box_ft",
}
TOP_1, TOP_3, MAP = "top-1", "top-3", "mAP"


def table_2(base: str | Path | None = None, **overrides: Any) -> list[Row]:
    """Quantization methods beside each other, on VGG19 pool5 of UCF101 split 1; or on another recipe's data."""
    recipe = load_recipe(base or "ucf101_pool5", **overrides)
    rows = variant_rows(recipe, TABLE_2)
    return [_with_paper(row, {"accuracy": figure}) for row, figure in zip(rows, TABLE_2.values(), strict=True)]


def table_3(base: str | Path | None = None, **overrides: Any) -> list[Row]:
    """Networks beside each other on UCF101 split 1."""
    rows = []
    for entry, figures in TABLE_3.items():
        recipe = load_recipe(entry, **overrides)
        for row, figure in zip(variant_rows(recipe, figures), figures.values(), strict=True):
            rows.append(_with_paper(row, {"accuracy": figure}, f"{NETWORKS[entry]}: {row.name}"))
    return rows


def table_4(
    base: str | Path | None = None, split: int = 1, idt: str | Path | None = None, **overrides: Any
) -> list[Row]:
    """Streams, networks and their late fusion on a split of UCF101, ten crops, beside other methods' figures.

    `idt` is the file of scores of improved dense trajectories on that split, from `keras-fvvae idt`.
    """
    rows = [Row(name, paper={"accuracy": figure}, reason=ELSEWHERE) for name, figure in TABLE_4_OTHERS.items()]
    for name, (entry, figure) in TABLE_4.items():
        recipe = load_recipe(entry, **{"crops": "ten", **overrides})
        recipe = recipe.replace(dataset_options={**recipe.dataset_options, "split": split})
        rows.append(Row(name, recipe, {"accuracy": figure}))
    rows.append(Row("IDT", paper={"accuracy": 85.9}, scores=idt or "", reason="" if idt else WITHOUT_IDT))
    rows += [Row(name, paper={"accuracy": figure}, fuse=parts) for name, (parts, figure) in TABLE_4_FUSED.items()]
    return rows


def table_5(base: str | Path | None = None, idt: str | Path | None = None, **overrides: Any) -> list[Row]:
    """ActivityNet's validation set: top-1, top-3 and mean average precision; `idt` as for table 4."""
    rows = []
    for name, (entry, variant, figures) in TABLE_5.items():
        (row,) = variant_rows(load_recipe(entry, **overrides), [variant])
        rows.append(_with_paper(row, dict(zip((TOP_1, TOP_3, MAP), figures, strict=True)), name))
    others = {"C3D-GA": ((65.80, 81.16, 67.68), "", ELSEWHERE), "IDT": ((64.70, 77.98, 68.69), idt or "", WITHOUT_IDT)}
    for name, (figures, scores, reason) in others.items():
        paper = dict(zip((TOP_1, TOP_3, MAP), figures, strict=True))
        rows.append(Row(name, paper=paper, scores=scores, reason="" if scores else reason))
    return rows


def table_6(base: str | Path | None = None, **overrides: Any) -> list[Row]:
    """Birds: with and without bounding boxes, with and without fine-tuning."""
    rows = []
    for index, (scenario, entry) in enumerate(SCENARIOS.items()):
        recipe = load_recipe(entry, **overrides)
        for row, figures in zip(variant_rows(recipe, TABLE_6), TABLE_6.values(), strict=True):
            rows.append(_with_paper(row, {"accuracy": figures[index]}, f"{row.name}, {scenario}"))
    return rows


def _with_paper(row, paper, name=None):
    return dataclasses.replace(row, name=name or row.name, paper=paper)


TABLES = {
    "table2": ("Table 2: quantization methods", table_2),
    "table3": ("Table 3: networks", table_3),
    "table4": ("Table 4: the state of the art on UCF101", table_4),
    "table5": ("Table 5: ActivityNet", table_5),
    "table6": ("Table 6: CUB-200-2011", table_6),
}
