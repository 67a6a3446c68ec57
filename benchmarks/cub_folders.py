"""CUB-200-2011 with its official split as folders of links, for `keras-fvvae train --data`.

    python benchmarks/cub_folders.py CUB_200_2011 cub

makes `cub/train/<class>/` and `cub/test/<class>/` from `images.txt` and `train_test_split.txt`.
"""

import sys
from pathlib import Path


def main():
    """Links every image that is present and prints how many."""
    source, target = map(Path, sys.argv[1:3])
    names = dict(line.split() for line in (source / "images.txt").read_text().splitlines())
    flags = dict(line.split() for line in (source / "train_test_split.txt").read_text().splitlines())
    counts = {"train": 0, "test": 0}
    for key, name in names.items():
        image = (source / "images" / name).resolve()
        if not image.is_file():
            continue
        split = "train" if flags[key] == "1" else "test"
        link = target / split / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(image)
        counts[split] += 1
    print(f"{counts['train']} training and {counts['test']} test images in {target}")


if __name__ == "__main__":
    main()
