"""Results as a table: on the terminal, as CSV, Markdown and HTML with a picture."""

from __future__ import annotations

import base64
import csv
import datetime
import io
import platform
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

import keras_fvvae
from keras_fvvae.errors import RunError
from keras_fvvae.evaluation.intervals import accuracy_text
from keras_fvvae.utils.files import reason, write_atomically
from keras_fvvae.utils.text import to_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Metrics that a paper's table can have, by the name of its column.
METRICS = {
    "accuracy": ("accuracy",),
    "top-1": ("accuracy",),
    "top-3": ("top3_accuracy",),
    "mAP": ("mean_average_precision",),
}


def table_rows(outcomes: Sequence[Any]) -> list[list[str]]:
    """The cells of a table, as text, its header first.

    Args:
        outcomes: list of `Outcome`s.

    Returns:
        List of lists of text.
    """
    papers = list(dict.fromkeys(column for outcome in outcomes for column in outcome.paper))
    measured = ["accuracy", *(column for column in papers if column not in ("accuracy", "top-1"))]
    timed = any(outcome.seconds for outcome in outcomes)
    header = ["representation", "dimension", *(f"{column} (%)" for column in measured)]
    header += [f"paper: {column} (%)" for column in papers]
    header += ["encode (ms an item)", "fit (s)"] if timed else []
    rows = [[*header, "settings"]]
    for outcome in outcomes:
        cells = [outcome.name, _dimension(outcome)]
        cells += [_measured(outcome, column) for column in measured]
        cells += [f"{outcome.paper[column]:.2f}" if column in outcome.paper else "" for column in papers]
        if timed:
            cells += [_number(outcome.encode_ms), _number(outcome.seconds.get("fit"))]
        rows.append([*cells, f"not run: {outcome.reason}" if outcome.reason else outcome.settings])
    return rows


def write_results(
    outcomes: Sequence[Any],
    out: str | Path,
    title: str,
    command: str,
    notes: Sequence[str] = (),
    pictures: dict[str, Figure] | None = None,
    winner: str | None = None,
) -> Path:
    """Writes `results.csv`, `results.md` and `results.html`, and pictures as PNG and SVG, into a folder.

    Args:
        outcomes: list of `Outcome`s.
        out: the folder.
        title: of the table.
        command: what was called, for the reader to repeat.
        notes: sentences about the data and the protocol.
        pictures: dictionary from a title to a matplotlib figure.
        winner: name of the row that was chosen, which is marked.

    Returns:
        Path of the HTML file.

    Raises:
        RunError: if they cannot be written; the runs are finished all the same.
    """
    rows = table_rows(outcomes)
    protocols = list(dict.fromkeys(outcome.protocol for outcome in outcomes if outcome.protocol))
    notes = [*notes, *protocols]
    machine = f"keras_fvvae {keras_fvvae.__version__}, {platform.machine()}, {datetime.date.today().isoformat()}"
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_atomically(out / "results.csv", to_bytes(text.getvalue()))
        embedded = []
        for name, figure in (pictures or {}).items():
            stem = name.lower().replace(" ", "_")
            images = {suffix: _image(figure, suffix) for suffix in ("png", "svg")}
            for suffix, content in images.items():
                write_atomically(out / f"{stem}.{suffix}", content)
            embedded.append({"title": name, "file": stem, "data": base64.b64encode(images["png"]).decode()})
        write_atomically(
            out / "results.md",
            _markdown(title, command, _marked(rows, winner), notes, machine, embedded).encode(
                "utf-8", "backslashreplace"
            ),
        )
        template = (resources.files("keras_fvvae.reporting") / "templates" / "results.html").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        html = environment.from_string(template).render(
            title=title,
            command=command,
            header=rows[0],
            rows=rows[1:],
            notes=notes,
            machine=machine,
            figures=embedded,
            winner=winner,
        )
        write_atomically(out / "results.html", html.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunError(f"The results cannot be written to {out}: {reason(error)}. Repeat the command.") from error
    return out / "results.html"


def _marked(rows, winner):
    """Rows for Markdown, where the winner's name is bold."""
    return [[f"**{row[0]}** (the winner)", *row[1:]] if row[0] == winner else row for row in rows]


def _markdown(title, command, rows, notes, machine, pictures):
    lines = [f"# {title}", "", f"`{command}`", "", f"{machine}.", ""]
    lines += [_markdown_row(rows[0]), _markdown_row(["---"] * len(rows[0])), *map(_markdown_row, rows[1:]), ""]
    lines += [f"* {note}" for note in notes]
    for picture in pictures:
        lines += ["", f"![{picture['title']}]({picture['file']}.png)"]
    return "\n".join(lines) + "\n"


def _markdown_row(cells):
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _image(figure, suffix):
    from keras_fvvae.reporting.names import drawing  # imports matplotlib, which tables need not

    buffer = io.BytesIO()
    # Without a date, the same results give the same file.
    with drawing():
        figure.savefig(buffer, format=suffix, metadata={"Date": None} if suffix == "svg" else None)
    return buffer.getvalue()


def _dimension(outcome):
    return f"{outcome.metrics['dimension']:,}" if "dimension" in outcome.metrics else ""


def _measured(outcome, column):
    value = next((outcome.metrics[key] for key in METRICS.get(column, ()) if key in outcome.metrics), None)
    if value is None:
        return ""
    return accuracy_text(outcome.metrics) if column in ("accuracy", "top-1") else f"{100 * value:.1f}"


def _number(value):
    return "" if value is None else f"{value:,.1f}"
