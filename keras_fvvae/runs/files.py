"""Names of what a run's folder holds."""

RECIPE = "recipe.yaml"
LABELS = "labels.json"
BRANCHES = "branches"
FINE_TUNING = "fine_tuning"
FINE_TUNING_LOSSES = "fine_tuning.json"
CHECKPOINTS = "checkpoints"
HISTORY = "history.json"
VALIDATION = "validation.json"
CALIBRATION = "calibration.json"
HELD_OUT = "held_out.npy"
MODEL = "model.keras"
SECONDS = "seconds.json"
ORIGIN = "origin.json"
VECTORS = "vectors.npy"
ITEMS = "vectors.json"
DIGESTS = "digests.json"
METRICS = "metrics.json"
SCORES = "scores.npy"
SKIPPED = "skipped.csv"
DAMAGED = "damaged.csv"
MANIFEST = "manifest.json"
REPORT = "report.html"
FIGURES = "figures"
LOCK = ".lock"

# What makes up the finished run and is listed, with its SHA-256, in the manifest.
ARTIFACTS = (
    RECIPE, LABELS, FINE_TUNING_LOSSES, HISTORY, VALIDATION, CALIBRATION, HELD_OUT, MODEL, SECONDS, ORIGIN, VECTORS,
    ITEMS, DIGESTS, METRICS, SCORES, SKIPPED, DAMAGED,
)  # fmt: skip
# All that a run writes, but for the folders of checkpoints, whose names begin with `CHECKPOINTS`.
OWN = (*ARTIFACTS, BRANCHES, FINE_TUNING, MANIFEST, REPORT, FIGURES, LOCK)
