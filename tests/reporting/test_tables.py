import csv

import pytest

from keras_fvvae.errors import RecipeError, RunError
from keras_fvvae.experiments.paper_figures import FIGURES, figure_4a, figure_4c
from keras_fvvae.experiments.paper_tables import TABLES, table_2, table_4, table_5, table_6
from keras_fvvae.experiments.row import Outcome
from keras_fvvae.experiments.variants import VARIANTS, variant_rows
from keras_fvvae.recipes import load_recipe
from keras_fvvae.reporting.figures import rendered
from keras_fvvae.reporting.names import shown
from keras_fvvae.reporting.pictures import accuracy_curves, accuracy_ranges, by_accuracy
from keras_fvvae.reporting.tables import table_rows, write_results

METRICS = {"accuracy": 0.914, "examples": 500, "standard_error": 0.012, "dimension": 131072}
OUTCOMES = [
    Outcome("FV-VAE", {"accuracy": 83.45}, METRICS, "255 latent", {"fit": 12.34, "encode": 2.0}, 100, protocol="p"),
    Outcome("GA", {"accuracy": 74.91}, reason="no weights | for <fc7>"),
]


def test_table_of_outcomes():
    header, first, second = table_rows(OUTCOMES)
    assert header == [
        "representation", "dimension", "accuracy (%)", "paper: accuracy (%)", "encode (ms an item)", "fit (s)",
        "settings",
    ]  # fmt: skip
    assert first == ["FV-VAE", "131,072", "91.4 (88.6 to 93.6)", "83.45", "20.0", "12.3", "255 latent"]
    assert second == ["GA", "", "", "74.91", "", "", "not run: no weights | for <fc7>"]


def test_several_columns_of_a_paper():
    metrics = {**METRICS, "top3_accuracy": 0.97, "mean_average_precision": 0.935}
    rows = table_rows([Outcome("FV-VAE", {"top-1": 72.51, "top-3": 85.68, "mAP": 77.25}, metrics)])
    assert rows[0][2:8] == [
        "accuracy (%)", "top-3 (%)", "mAP (%)", "paper: top-1 (%)", "paper: top-3 (%)", "paper: mAP (%)"
    ]  # fmt: skip
    assert rows[1][2:5] == ["91.4 (88.6 to 93.6)", "97.0", "93.5"]


def test_written_files(tmp_path):
    pictures = {"Accuracy": accuracy_ranges(OUTCOMES)}
    page = write_results(OUTCOMES, tmp_path / "out", "A <title>", "keras-fvvae x", ["a note"], pictures)
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"results.csv", "results.md", "results.html", "accuracy.png", "accuracy.svg"}
    with open(page.parent / "results.csv", newline="") as file:
        assert list(csv.reader(file)) == table_rows(OUTCOMES)
    html = page.read_text()
    assert "A &lt;title&gt;" in html
    assert "no weights | for &lt;fc7&gt;" in html
    markdown = (page.parent / "results.md").read_text()
    assert "not run: no weights \\| for <fc7>" in markdown
    assert "* a note" in markdown
    assert "`keras-fvvae x`" in markdown


def test_the_winner_is_marked(tmp_path):
    page = write_results(OUTCOMES, tmp_path, "t", "c", winner="FV-VAE")
    assert page.read_text().count('class="winner"') == 1
    assert "<td>FV-VAE <b>the winner</b></td>" in page.read_text()
    assert "| **FV-VAE** (the winner) | 131,072 |" in (tmp_path / "results.md").read_text()
    assert "winner" not in (tmp_path / "results.csv").read_text()  # programs read the names


def test_the_most_accurate_come_first_and_what_did_not_run_last():
    values = {"a": 0.5, "b": None, "c": 0.9}
    outcomes = [Outcome(name, {}, {"accuracy": value} if value else {}) for name, value in values.items()]
    assert [outcome.name for outcome in by_accuracy(outcomes)] == ["c", "a", "b"]


def test_intervals_are_whiskers_on_an_axis_that_holds_them():
    figure = accuracy_ranges([OUTCOMES[0]])
    (axis,) = figure.axes
    (whisker,) = axis.collections[0].get_segments()
    assert whisker[:, 0] == pytest.approx([88.6, 93.6], abs=0.05)
    assert axis.get_xlim()[0] > 50  # not from zero: points, not bars
    assert not axis.patches


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="The results cannot be written to"):
        write_results(OUTCOMES, tmp_path / "file" / "out", "t", "c")


def test_curves_with_and_without_points():
    figure = accuracy_curves({"a": ([1, 10], [{"accuracy": share, "examples": 50} for share in (0.5, 0.6)])}, "lambda3")
    assert figure.axes[0].get_xscale() == "log"
    assert accuracy_curves({}, "dimension").axes


def test_many_curves_of_any_names():
    """Each is drawn and named, beyond the number of colours too, though matplotlib leaves out what begins with `_`."""
    names = ["_background", "US$100-CA$200", "caf\udce9", *(f"lambda3={i}" for i in range(20))]
    points = ([1, 10], [{"accuracy": share, "examples": 50} for share in (0.5, 0.6)])
    figure = accuracy_curves(dict.fromkeys(names, points), "steps", logarithmic=False)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == [shown(name) for name in names]
    assert set(rendered(figure)) == {".png", ".svg"}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_recipes(name):
    (row,) = variant_rows(load_recipe("ucf101_pool5"), [name])
    assert row.recipe is not None
    assert row.recipe.trainable_from is None


def test_variants_of_a_trained_backbone_share_one_that_learnt_from_a_softmax():
    rows = variant_rows(load_recipe("digits_conv"), ["fv_vae", "vlad"])
    assert {(row.recipe.trainable_from, row.recipe.fine_tune_steps) for row in rows} == {(None, 300)}


def test_variants_that_a_backbone_cannot_have():
    recipe = load_recipe("image_folder", backbone="MobileNetV2")
    reasons = [row.reason for row in variant_rows(recipe, ["cross_layer", "ga"])]
    assert reasons[0].startswith("no two consecutive layers of MobileNetV2")
    assert reasons[1] == "MobileNetV2 has no fully-connected layer before its classes"
    with pytest.raises(RecipeError, match="did you mean 'vlad'"):
        variant_rows(recipe, ["vlat"])


def test_action_vlad_is_of_videos_and_learns_in_two_stages():
    (row,) = variant_rows(load_recipe("ucf101_pool5"), ["action_vlad"])
    assert row.recipe.views_per_step == 25
    assert [stage.train for stage in row.recipe.softmax_stages] == ["classifier", "all"]
    (row,) = variant_rows(load_recipe("cub200_conv5_4"), ["action_vlad"])
    assert row.reason == "it aggregates over frames; of images it is NetVLAD"


def test_scores_of_trajectories_go_into_tables_4_and_5():
    for rows in (table_4(idt="idt.csv"), table_5(idt="idt.csv")):
        (row,) = [row for row in rows if row.name == "IDT"]
        assert (row.scores, row.reason) == ("idt.csv", "")


def test_table_2_has_the_paper_s_rows():
    rows = table_2()
    assert [row.name for row in rows] == [
        "GA", "Concatenation", "AVE", "FV (GMM)", "VLAD", "BP", "FV-VAE minus", "FV-VAE"
    ]  # fmt: skip
    assert [row.paper["accuracy"] for row in rows] == [74.91, 75.89, 73.25, 78.85, 80.67, 81.39, 81.91, 83.45]
    assert {row.recipe.backbone for row in rows} == {"VGG19"}


def test_table_4_takes_ten_crops_and_fuses():
    rows = {row.name: row for row in table_4(split=2)}
    assert rows["FV-VAE-res5c"].recipe.crops == "ten"
    assert rows["FV-VAE-res5c"].recipe.dataset_options["split"] == 2
    assert rows["FV-VAE-(res5c + pool5 optical flow)"].fuse == ("FV-VAE-res5c", "FV-VAE-pool5 optical flow")
    assert rows["TSN (3 modalities)"].reason


def test_table_6_has_four_scenarios():
    rows = table_6(steps=600)
    assert len(rows) == 20
    assert {row.recipe.steps for row in rows} == {600}
    boxes = {row.name: row.recipe.dataset_options.get("boxes", False) for row in rows}
    assert boxes["FV-VAE, +box w/ ft"] is True
    assert boxes["FV-VAE, w/o ft"] is False


def test_figure_4_is_at_equal_dimensions():
    curves, label = figure_4a("digits_conv")
    assert label == "dimension"
    for points in curves.values():
        assert [dimension for dimension, _ in points] == [64 * factor for factor in (8, 16, 32, 64, 128, 256)]
    _, row = curves["FV (GMM)"][1]
    assert 2 * 64 * row.recipe.representation_options["num_components"] == 1024
    _, row = figure_4c("digits_conv")[0]["fewer latent variables"][0]
    assert 64 * (row.recipe.latent_dim + 1) == 512


def test_every_table_and_figure_is_made_of_valid_recipes():
    for _, rows_of in TABLES.values():
        assert all(row.recipe or row.reason or row.fuse for row in rows_of())
    for name, (_, curves_of) in FIGURES.items():
        curves, _ = curves_of("digits_conv")
        assert sum(len(points) for points in curves.values()) == {"figure4a": 18, "figure4b": 6, "figure4c": 16}[name]
