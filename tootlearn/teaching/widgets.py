"""A dial that works in a page without a kernel, and a panel that plays toots with one."""

from __future__ import annotations

import base64
import html
import io
import itertools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tootlearn.errors import InputError

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

    from tootlearn.generation.toot_generator import TootGenerator

_numbers = itertools.count(1)


def dial(
    draw: Callable[[Any], Figure], name: str, values: Sequence[Any], alt: str, start: int = 0
) -> None:
    """Show one picture for each value, and a row of choices to switch between them, by mouse or
    arrow keys.

    The pictures are drawn once and kept in the page, so it needs neither a kernel nor a script.

    Args:
        draw: value -> the figure, which is closed afterwards.
        name: the quantity, such as "window (samples)".
        values: its values, 2 or more; 8 are plenty.
        alt: what a picture shows, for those who do not see it; "{}" stands for the value.
        start: the index of the value that is shown first.

    Raises:
        InputError: fewer than two values, or no alt text.
    """
    from IPython.display import display
    from matplotlib import pyplot

    if len(values) < 2 or not alt:
        raise InputError(
            "a dial has two values or more, and an alt text that says what its pictures show"
        )
    group = f"dial-{next(_numbers)}-{zlib.crc32((name + alt).encode()) % 10**6}"
    choices, pictures, rules = [], [], []
    for i, value in enumerate(values):
        figure = draw(value)
        picture = _png(figure)
        pyplot.close(figure)
        checked = " checked" if i == start else ""
        choices.append(
            '<label style="margin-right:1rem;white-space:nowrap"><input type="radio" '
            f'name="{group}"'
            f' class="{group}-{i}"{checked}> {html.escape(str(value))}</label>'
        )
        words = html.escape(alt.format(value))
        pictures.append(
            f'<img class="dark-light {group}" alt="{words}" src="data:image/png;base64,{picture}">'
        )
        rules.append(
            f"#{group}:has(.{group}-{i}:checked) img.{group}:nth-of-type({i + 1}){{display:block}}"
        )
    sheet = f"<style>#{group} img.{group}{{display:none;max-width:100%}}{''.join(rules)}</style>"
    legend = f'<legend style="font-size:1em;margin:0">{html.escape(name)}</legend>'
    box = f'<fieldset style="border:0;margin:0;padding:0">{legend}{"".join(choices)}</fieldset>'
    content = f'{sheet}<div id="{group}">{box}<div>{"".join(pictures)}</div></div>'
    text = f"<dial: {name}: {', '.join(map(str, values))}>"
    display({"text/html": content, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]


def playground(generator: TootGenerator | None = None) -> VBox:
    """A panel for JupyterLab: kind, pitch, duration, brightness, loudness and seed, and a button
    that plays the toot.

    The ranges of pitch and duration are those of the kind.

    Args:
        generator: what makes the toots; None loads the shipped model and its vocoder.

    Returns:
        The panel, which a cell shows if it is the cell's last value. A toot is
        ``generator.generate`` of what it says.

    Raises:
        InputError: if ipywidgets is not installed, or the model has no generator.
    """
    try:
        import ipywidgets
    except ImportError as error:
        raise InputError('ipywidgets is not installed: pip install "tootlearn[book]"') from error
    from tootlearn.controls import LOUDNESS_RANGE
    from tootlearn.generation import toot_generator

    speaker = generator or toot_generator.load()
    if speaker.model.generator is None:
        raise InputError("this model has no generator: train one with a generator")
    about = {kind.name.replace("_", " "): kind for kind in speaker.model.kinds}
    loudest = dict(zip(("min", "max"), LOUDNESS_RANGE, strict=True))
    kind = ipywidgets.Dropdown(options=list(about), description="Kind")
    pitch = ipywidgets.FloatLogSlider(description="Pitch (Hz)", readout_format=".1f", step=0.001)
    duration = ipywidgets.FloatSlider(description="Duration (s)", step=0.01)
    brightness = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, description="Brightness")
    loudness = ipywidgets.FloatSlider(
        -16, **loudest, step=0.1, description="Loudness", readout_format=".1f"
    )
    seed = ipywidgets.BoundedIntText(0, min=0, max=2**53 - 1, description="Seed")
    button = ipywidgets.Button(description="Play", button_style="primary")
    output = ipywidgets.Output()

    def limit(_: object = None) -> None:
        low, high = map(math.log10, about[kind.value].pitch)
        shortest, longest = about[kind.value].duration
        for slider, least, most in ((pitch, low, high), (duration, shortest, longest)):
            # never a minimum above the maximum
            slider.min, slider.max = min(slider.min, least), most
            slider.min = least
        pitch.value, duration.value = 10 ** ((low + high) / 2), math.sqrt(shortest * longest)

    def play(_: object = None) -> None:
        from IPython.display import Audio

        chosen = about[kind.value]
        hz, seconds = (
            min(max(slider.value, least), most)  # a slider's ends are rounded
            for slider, (least, most) in ((pitch, chosen.pitch), (duration, chosen.duration))
        )
        wave = speaker.generate(
            chosen.name, hz, seconds, brightness.value, loudness.value, seed=seed.value
        )
        shown = Audio(wave, rate=speaker.sample_rate, normalize=False, autoplay=True)  # type: ignore[no-untyped-call]
        output.outputs = ()
        output.append_display_data(shown)

    limit()
    kind.observe(limit, "value")
    button.on_click(play)
    return ipywidgets.VBox([kind, pitch, duration, brightness, loudness, seed, button, output])


def _png(figure: Figure) -> str:
    """A figure in base64, in 64 colours: a third of the size."""
    from PIL import Image

    full_colour, palette = io.BytesIO(), io.BytesIO()
    figure.savefig(full_colour, format="png")
    Image.open(full_colour).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(
        palette, format="PNG", optimize=True
    )
    return base64.b64encode(palette.getvalue()).decode()
