"""The page of recipe keys: of each its meaning, default and values, from the schema that recipes are checked by."""

import dataclasses

from keras_fvvae.recipes import Recipe, SoftmaxStage
from keras_fvvae.recipes.keys import CARD, STAGES, default_of

TITLES = {"svm": "Classifier", CARD: "What a recipe says about itself"}
INTRODUCTION = """# Recipe keys

A recipe is a YAML file (`keras-fvvae train FILE`), an entry of [the zoo](../zoo.md), or a
[`Recipe`](recipes.md). `--set KEY=VALUE` of the commands sets any key. They stand in the order of the work: a key
changes its own stage and what comes after it. An unknown key is an error that names the nearest known
one. "None" is `null` in YAML.
"""


def page():
    """The page's Markdown."""
    lines = [INTRODUCTION]
    for stage in (*STAGES, CARD):
        fields = [field for field in dataclasses.fields(Recipe) if field.metadata["decides"] == stage]
        lines += _table(TITLES.get(stage, stage.capitalize()), fields)
    lines += _table("In each mapping of `stages`", dataclasses.fields(SoftmaxStage))
    return "\n".join(lines) + "\n"


def _table(title, fields):
    rows = [
        f"| `{field.name}` | {_cell(field.metadata['about'])} | {_default(field)} | {_accepts(field)} |"
        for field in fields
    ]
    return ["", f"## {title}", "", "| key | meaning | default | accepts |", "| --- | --- | --- | --- |", *rows]


def _accepts(field):
    return _cell(str(field.metadata["accepts"].description))


def _default(field):
    value = default_of(field)
    return "none" if value is None else f"`{value!r}`"


def _cell(text):
    return text.replace("|", "\\|").replace("*", "\\*")
