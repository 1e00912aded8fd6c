"""The words of a command line, read so that a mistake is answered with one line that says what to
do.
"""

from __future__ import annotations

import re
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from tootlearn.errors import nearest

if TYPE_CHECKING:
    from tootlearn.training.config import TrainConfig


class Parser(ArgumentParser):
    """A parser whose errors are one line that says what to do: jsonargparse's own speak of keys and
    classes.
    """

    TAKES = {"int": "a whole number", "float": "a number", "tuple": "a list such as [a,b]"}

    def parse_args(self, args: Any = None, *rest: Any, **how: Any) -> Namespace:  # type: ignore[override]
        """As of the class; a value that begins with a minus, such as -6,0, is no flag."""
        words: list[str] = []
        for word in args or []:
            if re.match(r"-[\d.]+,", word) and words and words[-1].startswith("--"):
                words[-1] += f"={word}"
            else:
                words.append(word)
        return super().parse_args(words, *rest, **how)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        strange = re.search(r"unrecognized arguments: (\S+)", message)
        option = re.search(r"Option '([\w.]+)' is not accepted", message)
        value = re.search(r'Parser key "([\w.]+)".*(?:Given|Got) value: (.*)', message, re.DOTALL)
        if strange:
            flag = strange[1].split("=")[0]
            known = [name for action in self._actions for name in action.option_strings]
            what = (
                f"unknown flag {flag}: {nearest(flag, known)}"
                if flag[0] == "-"
                else f"{flag!r} is too much: "
            )
            message = f"{what}see {self.prog} --help"
        elif option:  # of a part, such as --generator.width
            known = [action.dest for action in self._actions]
            message = f"unknown option {option[1]!r}: {nearest(option[1], known)}see --help"
        elif value:
            kind = next(
                (word for word in re.findall(r"<class '(\w+)'>", message) if word in self.TAKES),
                None,
            )
            takes = f"it takes {self.TAKES[kind]}" if kind else f"see {self.prog} --help"
            message = f"--{value[1]}: cannot use {value[2].strip()!r}: {takes}"
        fail(message.removeprefix("argument "))


def config_options(parser: ArgumentParser, words: list[str]) -> None:
    """Options for all fields of a training config; what they are without a word of them comes from
    a preset.
    """
    from tootlearn.training import config as presets

    # the preset is where the flags' defaults come from, so it is looked for before they are read
    given = {
        name: re.search(rf"--{name}[ =](\S+)", " ".join(words))
        for name in ("preset", "from", "data")
    }
    usual = "fine_tune" if given["from"] else "own" if given["data"] else "default"
    preset = given["preset"][1] if given["preset"] else usual
    parser.add_argument(
        "--preset",
        type=str,
        default=usual,
        help=f"what to start from: {', '.join(presets.PRESETS)}",
    )
    parser.add_argument(
        "--data", type=str, nargs="+", help="folders of recordings, manifests or public data sets"
    )
    parser.add_argument(
        "--from",
        type=str | None,
        dest="start_from",
        help='a model to fine-tune; "default" is the shipped one',
    )
    parser.add_argument(
        "--config", action="config", help="a YAML file of these options; those that follow it hold"
    )
    parser.add_class_arguments(presets.TrainConfig, skip={"data", "start_from"})
    defaults = asdict(presets.preset(preset))
    parser.set_defaults(defaults | {"data": list(defaults["data"])})


def config_of(a: Namespace) -> TrainConfig:
    """The training config that the options stand for."""
    from tootlearn.controls import find_kind
    from tootlearn.data.augmentation import Augmentation
    from tootlearn.data.recipes import KINDS
    from tootlearn.dsp.front_end import FrontEndConfig
    from tootlearn.models.autoencoder import AutoencoderConfig, GeneratorConfig
    from tootlearn.training import config as presets

    values = {f.name: a[f.name] for f in fields(presets.TrainConfig)}
    parts = {
        "generator": GeneratorConfig,
        "autoencoder": AutoencoderConfig,
        "front_end": FrontEndConfig,
    }
    parts["augmentation"] = Augmentation
    for name, part in parts.items():
        values[name] = None if values[name] is None else part(**vars(values[name]))
    known = tuple(KINDS.values())
    values["kinds"] = tuple(known[find_kind(kind, known)].name for kind in a.kinds)
    return presets.TrainConfig(**values | {"data": tuple(a.data)})


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on stderr, and the end of the process."""
    sys.stderr.write(f"tootlearn: error: {' '.join(message.split())}\n")
    raise SystemExit(status) from None
