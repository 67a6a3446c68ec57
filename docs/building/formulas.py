"""Formulas as MathML, made when the site is built."""

import html as escapes
import re

from latex2mathml.converter import convert

# As `pymdownx.arithmatex` marks them.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)

# Names of functions stand apart from what follows them, which the converter leaves to the reader's program.
FUNCTION = re.compile(r"<mi>(log|exp|softmax|ReLU)</mi>(?!<mo stretchy=.false.>\()")


def drawn(html):
    """A page's HTML with MathML in the place of TeX."""
    return FORMULA.sub(lambda found: _mathml(found[2], found[1]), html)


def _mathml(tex, element):
    display = "block" if element == "div" else "inline"
    math = FUNCTION.sub(r"\g<0><mspace width='0.17em'/>", convert(escapes.unescape(tex), display=display))
    # A wide formula scrolls by itself, not the page.
    return f'<{element} class="formula">{math}</{element}>'
