"""A dial that also turns on a page without a kernel."""

from __future__ import annotations

import base64
import html
import io
import itertools
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tootlearn.audio import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_numbers = itertools.count(1)


def dial(draw: Callable[[Any], Figure], name: str, values: Sequence[Any], alt: str, start: int = 0) -> None:
    """Show one picture for each value, and a row of choices that turns from one to the next, by mouse or arrow keys.

    The pictures are drawn once and kept in the page, so it needs neither a kernel nor a script.

    Args:
        draw: value -> the figure, which is closed afterwards.
        name: what is turned, such as "window (samples)".
        values: what it is turned to, 2 or more; 8 are plenty.
        alt: what a picture shows, for those who do not see it; "{}" stands for the value.
        start: the index of the value that is shown first.

    Raises:
        InputError: fewer than two values, or no alt text.
    """
    from IPython.display import display
    from matplotlib import pyplot

    if len(values) < 2 or not alt:
        raise InputError("a dial has two values or more, and an alt text that says what its pictures show")
    group = f"dial-{next(_numbers)}-{zlib.crc32((name + alt).encode()) % 10**6}"
    choices, pictures, rules = [], [], []
    for i, value in enumerate(values):
        figure = draw(value)
        picture = _png(figure)
        pyplot.close(figure)
        checked = " checked" if i == start else ""
        choices.append(
            f'<label style="margin-right:1rem;white-space:nowrap"><input type="radio" name="{group}"'
            f' class="{group}-{i}"{checked}> {html.escape(str(value))}</label>'
        )
        words = html.escape(alt.format(value))
        pictures.append(f'<img class="dark-light {group}" alt="{words}" src="data:image/png;base64,{picture}">')
        rules.append(f"#{group}:has(.{group}-{i}:checked) img.{group}:nth-of-type({i + 1}){{display:block}}")
    sheet = f"<style>#{group} img.{group}{{display:none;max-width:100%}}{''.join(rules)}</style>"
    legend = f'<legend style="font-size:1em;margin:0">{html.escape(name)}</legend>'
    box = f'<fieldset style="border:0;margin:0;padding:0">{legend}{"".join(choices)}</fieldset>'
    content = f'{sheet}<div id="{group}">{box}<div>{"".join(pictures)}</div></div>'
    text = f"<dial: {name}: {', '.join(map(str, values))}>"
    display({"text/html": content, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def _png(figure: Figure) -> str:
    """A figure in base64, in 64 colours: a third of the size."""
    from PIL import Image

    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png")
    Image.open(whole).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
