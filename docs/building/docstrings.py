"""What the house style of docstrings needs beyond Google's, for the reference's reader of docstrings."""

import itertools
import re
import textwrap

import griffe

# Sections that Google's style does not know, with their indented lines.
SECTION = re.compile(
    r"^(Input shape|Output shape|Call arguments|Class attributes|Reference):\n((?:(?:    .*)?(?:\n|\Z))+)",
    flags=re.MULTILINE,
)
EXAMPLE = re.compile(r"^Example:$", flags=re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}\w+): ", flags=re.MULTILINE)
LISTED = ("Call arguments", "Class attributes")


class HouseStyle(griffe.Extension):
    """`Example:` is read as Google's `Examples:`, which shows sessions of Python; other sections become text."""

    def on_object(self, *, obj, **kwargs):
        """Called for everything that is read."""
        if obj.docstring is None and obj.is_attribute and obj.parent.is_module:
            text = _comment(obj)
            obj.docstring = griffe.Docstring(text, parent=obj) if text else None
        elif obj.docstring is not None:
            obj.docstring.value = SECTION.sub(_as_text, EXAMPLE.sub("Examples:", obj.docstring.value))


def _comment(constant):
    """The comment above a module's constant: what it means stands there."""
    lines = constant.filepath.read_text(encoding="utf-8").splitlines()[: constant.lineno - 1]
    above = itertools.takewhile(lambda line: line.startswith("# "), reversed(lines))
    return "\n".join(line.removeprefix("# ") for line in reversed(list(above)))


def _as_text(found):
    title, content = found[1], textwrap.dedent(found[2]).strip()
    if title in LISTED:
        content = ENTRY.sub(r"- **`\1`** - ", content).replace("\n    ", "\n  ")
    return f"**{title}:**\n\n{content}\n\n"
