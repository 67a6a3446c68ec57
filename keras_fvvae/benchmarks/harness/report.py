"""The result of a benchmark as a page."""

from keras_fvvae.benchmarks.harness.groups import GROUPS

HEADER = ("what", "median (fastest - slowest)", "unit", "ratio", "CPU ratio", "target", "remark")


def as_markdown(record: dict) -> str:
    """The page of a record, see `keras_fvvae.benchmarks.harness.run`."""
    machine, versions = record["machine"], record["versions"]
    lines = [
        "# Benchmark",
        "",
        f"`{record['command']}`, {record['date']}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}; "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}. "
        f"Load of the machine before {record['load_before']}, after {record['load_after']} (our own work included).",
        "",
        f"A ratio compares a row with the reference of its table, the row with the ratio 1, in the same run: above 1 "
        f"is slower, or more. Rounds are interleaved in random order; a ratio is the median of {record['rounds']} "
        f"rounds' ratios. CPU ratios compare the CPU time of all threads and suffer less from other programs. Weights "
        f"of networks are random, which does not change the speed.",
        "",
        *_summary(record["rows"]),
    ]
    for name, info in record["groups"].items():
        lines += ["", f"## {GROUPS[name].title}", "", _sizes(name, info), ""]
        rows = [row for row in record["rows"] if row["group"] == name]
        for case, part in _parts(rows).items():
            lines += [f"{case}:", ""] if case else []
            lines += [_line(HEADER), _line(["---"] * len(HEADER)), *(_line(_cells(row)) for row in part), ""]
        lines.pop()
    return "\n".join(lines) + "\n"


def _summary(rows):
    targets = [row for row in rows if row.get("at_most")]
    lines = ["| target | ratio | CPU ratio | at most | |", "| --- | --- | --- | --- | --- |"]
    for row in targets:
        met = "met" if row["ratio"] <= row["at_most"] else "**missed**"
        name = ", ".join(filter(None, [row["group"], row["case"], row["what"]]))
        cells = [name, _ratio(row["ratio"]), _ratio(row["cpu_ratio"])]
        lines.append(_line([*cells, _ratio(row["at_most"]), met]))
    return lines if targets else []


def _sizes(name, info):
    sizes = ", ".join(f"{key} {_plain(value)}" for key, value in info["sizes"].items())
    peak = "" if info["peak_mb"] is None else f", peak memory {info['peak_mb']:,.0f} MB"
    return (
        f"`{name}`: {sizes}. {info['seconds']:.0f} s{peak}, load {info['load_before']} before and "
        f"{info['load_after']} after."
    )


def _plain(value):
    if isinstance(value, list):
        return " / ".join(map(_plain, value))
    if isinstance(value, dict):
        return "(" + " ".join(_plain(one) for one in value.values() if one is not None) + ")"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _parts(rows):
    """Dictionary from case to its rows: one table each."""
    parts = {}
    for row in rows:
        parts.setdefault(row["case"], []).append(row)
    return parts


def _cells(row):
    if "reason" in row:
        return [row["what"], "-", "", "", "", "", row["reason"]]
    low, middle, high = (_number(row[key]) for key in ("fastest", "median", "slowest"))
    target = "" if row["at_most"] is None else f"at most {_ratio(row['at_most'])}"
    ratios = [_ratio(row["ratio"]), _ratio(row["cpu_ratio"])]
    return [row["what"], f"{middle} ({low} - {high})", row["unit"], *ratios, target, row["note"]]


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value):
    return "" if value is None else f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def _line(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
