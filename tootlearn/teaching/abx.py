"""A blind listening test in a page: is X the sound A, or B?

Listeners who know which sound they hear are biased by it. In each trial of an ABX test, X is A or B
at random, and the score says whether the two can be told apart. The random choice is made in the
page, which needs a script but no server.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import zlib
from typing import Any

from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tootlearn.dsp.audio import peak_db
from tootlearn.errors import check_between
from tootlearn.teaching.listen import checked, matching, mp3

TRIALS = 50  # at most: more is tiring

_numbers = itertools.count(1)
_BUTTON = (
    "font:inherit;color:inherit;background:transparent;border:1px solid "
    "currentColor;border-radius:.3rem;"
    "padding:.4rem .8rem;margin:.2rem .5rem .2rem 0;cursor:pointer"
)

# X plays a copy at its own address, new in each trial, so that the page does not give it away.
_SCRIPT = """(() => {
  const box = document.getElementById(NAME);
  const part = name => box.querySelector(`[data-part=${name}]`);
  const chances = JSON.parse(box.dataset.chances), trials = chances.length - 1;
  const [a, b, x] = ["a", "b", "x"].map(part), said = part("said"), players = [a, b, x];
  const sounds = [a, b].map(player => {
    const bytes = Uint8Array.from(atob(player.src.split(",")[1]), letter => letter.charCodeAt(0));
    return new Blob([bytes], {type: "audio/mpeg"});
  });
  let drawn, trial, right;
  const percent = share =>
    share < .001 ? "less than 0.1" : String(Number((100 * share).toPrecision(2)));
  const next = () => {
    players.forEach(player => player.pause());
    if (x.src) URL.revokeObjectURL(x.src);
    drawn = crypto.getRandomValues(new Uint8Array(1))[0] & 1;
    x.src = URL.createObjectURL(sounds[drawn]);
    x.setAttribute("aria-label", `Play X, trial ${trial + 1}`);
    said.textContent = `Trial ${trial + 1} of ${trials}.`;
  };
  const begin = () => {
    [trial, right] = [0, 0];
    part("trial").hidden = false;
    part("again").hidden = true;
    next();
  };
  const answer = given => {
    right += given === drawn;
    trial += 1;
    if (trial < trials) return next();
    x.pause();
    part("trial").hidden = true;
    part("again").hidden = false;
    said.textContent = `${right} of ${trials} right. Guessing gets that many or more with a `
      + `probability of ${percent(chances[right])} %.`;
    part("again").focus();
  };
  players.forEach(player => player.addEventListener("play", () =>
    players.forEach(other => other === player || other.pause())));
  part("is-a").onclick = () => answer(0);
  part("is-b").onclick = () => answer(1);
  part("again").onclick = () => { begin(); x.focus(); };
  begin();
})();"""


def abx(
    a: Tensor | NDArray[Any],
    b: Tensor | NDArray[Any],
    trials: int = 8,
    names: tuple[str, str] = ("A", "B"),
    sample_rate: int = 22050,
) -> None:
    """Show two sounds, and a quiz: in each trial X is one of them, and you say which. The score
    comes at the end.

    The louder sound is turned down to the loudness of the other, and the shorter one is padded with
    silence: neither level nor length gives X away. Without a script, two plain players are left.

    Args:
        a: wave (N,) in [-1, 1], tensor or array.
        b: wave (N,), another.
        trials: how often X is chosen, 1 to 50. With 8, guessing gets 7 or more right one time in
        28. names: what to call the sounds.
        sample_rate: Hz.

    Raises:
        InputError: a sound that is not a wave, or trials out of range.
    """
    from IPython.display import display

    check_between("trials", trials, 1, TRIALS)
    row = {
        letter: checked(name, wave) for letter, name, wave in zip("AB", names, (a, b), strict=True)
    }
    gains = matching(row, sample_rate)
    down = min(0.0, -max(float(peak_db(wave)) + gains[letter] for letter, wave in row.items()))
    longest = max(len(wave) for wave in row.values())
    players = []
    for (letter, wave), name in zip(row.items(), names, strict=True):
        level = gains[letter] + down
        sound = functional.pad(wave * 10 ** (level / 20), (0, longest - len(wave)))
        title = html.escape(letter if name == letter else f"{letter}: {name}")
        shown = f"<strong>{title}</strong> <span>({round(level, 1) + 0.0:.1f} dB)</span>"
        source = f'src="data:audio/mpeg;base64,{mp3(sound, sample_rate)}"'
        players.append(_player(shown, letter.lower(), f"Play {title}", source))
    group = f"abx-{next(_numbers)}-{zlib.crc32(' '.join(names).encode()) % 10**6}"
    content = _page(group, "".join(players), trials)
    display(
        {"text/html": content, "text/plain": f"<ABX quiz: {', '.join(names)}, {trials} trials>"},
        raw=True,
    )  # type: ignore[no-untyped-call]


def chance(right: int, trials: int) -> float:
    """The probability that guessing gets ``right`` or more of the trials right: the tail of a
    binomial distribution with p = 1/2.

    Example:
        >>> chance(8, 8) == 1 / 256, chance(0, 8) == 1
        (True, True)
    """
    ways = sum(math.comb(trials, k) for k in range(right, trials + 1))
    return float(ways / 2**trials)


def _player(shown: str, part: str, label: str, source: str = "") -> str:
    return (
        f'<div style="flex:1 1 12rem;min-width:0;max-width:22rem"><div>{shown}</div>'
        f'<audio controls preload="metadata" data-part="{part}" aria-label="{label}"'
        f' style="width:100%;height:2.5rem;display:block" {source}></audio></div>'
    )


def _page(group: str, players: str, trials: int) -> str:
    """The quiz; the script shows what is hidden at first."""
    chances = json.dumps([float(f"{chance(right, trials):.3g}") for right in range(trials + 1)])
    row = f'<div style="display:flex;flex-wrap:wrap;gap:1rem">{players}</div>'
    buttons = "".join(
        f'<button type="button" data-part="is-{letter}" style="{_BUTTON}">X is '
        f"{letter.upper()}</button>"
        for letter in "ab"
    )
    unknown = _player("<strong>X</strong>", "x", "Play X")
    trial = f'<div data-part="trial" hidden style="margin-top:.5rem">{unknown}{buttons}</div>'
    again = f'<button type="button" data-part="again" hidden style="{_BUTTON}">Once more</button>'
    status = (
        '<p data-part="said" role="status" style="margin:.5rem 0">'
        "Without a script these are two plain players.</p>"
    )
    script = f"<script>{_SCRIPT.replace('NAME', json.dumps(group))}</script>"
    return (
        f'<div id="{group}" role="group" aria-label="ABX quiz" data-chances="{chances}" '
        'style="margin:0 0 .5rem">'
        f"{row}{trial}{status}{again}</div>{script}"
    )
