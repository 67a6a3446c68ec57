"""Writes docs/benchmarks/history.md: the ratios of every record in docs/benchmarks/records/, by date."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent / "benchmarks"
PAGE = FOLDER / "history.md"
START = """# Ratios over time

Made by `python docs/make_history.py` from the files in `docs/benchmarks/records/`, each the `results.json` of one
run of `keras-fvvae benchmark` (its command, machine and versions are in it). A ratio compares with the reference of its
row in the same run: above 1 is slower, or more. Machines differ from column to column, and ratios with them:
`keras-fvvae benchmark --compare RECORD` on one machine tells what changed by more than the noise.
"""


def page(files):
    """The page of records by the name of their file, the oldest first."""
    names = {record["date"]: name for name, record in files.items()}
    records = sorted(files.values(), key=lambda record: record["date"])
    lines = [START]
    groups = dict.fromkeys(name for record in records for name in record["groups"])
    for group in groups:
        having = [record for record in records if group in record["groups"]]
        rows = {}
        for record in having:
            for row in record["rows"]:
                if row["group"] == group and row.get("ratio") is not None and row["what"] != row["against"]:
                    rows.setdefault((row["case"], row["what"], row["against"]), {})[record["date"]] = row
        heads = [
            f"[{record['date'][:10]}](records/{names[record['date']]}), {record['versions']['keras_fvvae']}"
            for record in having
        ]
        lines += [f"## {group}", "", _line(["what", "against", *heads]), _line(["---"] * (2 + len(heads)))]
        for (case, what, against), found in rows.items():
            cells = [f"{found[record['date']]['ratio']:.3f}" if record["date"] in found else "" for record in having]
            lines.append(_line([", ".join(filter(None, [case, what])), against, *cells]))
        lines.append("")
    return "\n".join(lines)


def _line(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def read():
    """All records by the name of their file."""
    return {path.name: json.loads(path.read_bytes()) for path in sorted((FOLDER / "records").glob("*.json"))}


if __name__ == "__main__":
    PAGE.write_text(page(read()), encoding="utf-8")
