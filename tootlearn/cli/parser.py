"""What options look like: hyphens, switches, help, and errors of one line that say what to do."""

from __future__ import annotations

import re
import sys
from argparse import SUPPRESS, Action
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn, get_args

from jsonargparse import ActionSubCommands, ArgumentParser, DefaultHelpFormatter, Namespace

from tootlearn.errors import did_you_mean


class Help(DefaultHelpFormatter):
    """A help text without types and nulls: defaults are shown where they say something."""

    def _format_usage(self, usage: Any, actions: Any, *rest: Any, **options: Any) -> str:
        words = [
            self._format_args(action, action.dest.upper())
            for action in actions
            if not action.option_strings
        ]
        return f"usage: {' '.join([self._prog, '[options]', *words])}\n\n"

    def _format_action(self, action: Action) -> str:
        if isinstance(action, ActionSubCommands):
            return "".join(map(self._format_action, self._iter_indented_subactions(action)))
        return str(super()._format_action(action))

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings:
            return str(super()._format_action_invocation(action))
        first, *others = (name for name in action.option_strings if not name.endswith("+"))
        if action.nargs != 0 and _hint(action) is not bool:
            metavar = self._get_default_metavar_for_optional(action)
            first += f" {self._format_args(action, metavar)}"
        return ", ".join([first, *others])

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        hint = _hint(action)
        for kind, metavar in ((int, "N"), (float, "X")):
            if hint is kind or kind in get_args(hint):
                return metavar
        return action.dest.rpartition(".")[2].replace("_", "-").upper()

    def _get_help_string(self, action: Action) -> str:
        text = re.sub(r"(:\w+:)?`([^`]+)`", r"\2", action.help or "").rstrip(".")
        shown, default = "", action.default
        if _part(_hint(action)):
            shown = f"see {action.option_strings[0]}.help"
        elif isinstance(default, tuple) and default:
            shown = f"[{','.join(map(str, default))}]"
        elif default is True:
            shown = "on"
        elif isinstance(default, (str, int, float)) and default is not False:
            shown = "" if default == SUPPRESS else str(default)
        if not shown or not action.option_strings or "default:" in text:
            return text
        return f"{text} (default: {shown})"


class Parser(ArgumentParser):
    """A parser of one command.

    Options are written with hyphens, also those that are made of the fields of dataclasses, which
    have underscores: `--learning-rate`, `--front-end.hop`. Those that are true or false are
    switches, `--stream` and `--no-stream`; parts that may be absent are left out by
    `--no-autoencoder`. Config files have the names of the fields.

    Args:
        words: those that it will parse, on which defaults may depend.
    """

    TAKES = {"int": "a whole number", "float": "a number", "tuple": "a list such as [a,b]"}

    def __init__(self, *args: Any, words: Sequence[str] = (), **options: Any) -> None:
        options.setdefault("prog", "tootlearn")
        options.setdefault("formatter_class", Help)
        options.setdefault("print_config", "--print-config")
        options.setdefault("allow_abbrev", False)
        super().__init__(*args, **options)
        self.words = list(words)

    def parse_args(  # type: ignore[override]
        self, args: Any = None, *rest: Any, **options: Any
    ) -> Namespace:
        """As of the class."""
        self._hyphenate()
        words = list(args or [])
        words = words if self._commands() else self._translated(words)
        return super().parse_args(words, *rest, **options)

    def format_help(self, *args: Any, **options: Any) -> str:
        """As of the class."""
        self._hyphenate()
        return str(super().format_help(*args, **options))

    def get_completion_script(self, *args: Any, **options: Any) -> str:
        """As of the class."""
        self._hyphenate()
        for parser in self._commands().values():
            parser._hyphenate()
        script = super().get_completion_script(*args, **options)
        return re.sub(r"--[a-z][\w.-]*", lambda name: name[0].replace("_", "-"), script)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with one line that says what is wrong, where jsonargparse speaks of keys and
        classes.
        """
        fail(self._explained(message).removeprefix("argument "))

    def _explained(self, message: str) -> str:
        if match := re.search(r"unrecognized arguments: (\S+)", message):
            return self._not_known(match[1])
        if match := re.search(r"Option '([\w.]+)' is not accepted", message):
            # of a part, such as --generator.width
            near = did_you_mean(match[1], [action.dest for action in self._actions])
            return f"unknown option {match[1]!r}: {near}see --help"
        if match := re.search(
            r'Parser key "([\w.-]+)".*[Gg](?:iven|ot) value: (.*)', message, re.S
        ):
            return self._not_usable(self._without_command(match[1]), match[2].strip(), message)
        if match := re.search(r"arguments are required: (.*)", message):
            names = ", ".join(map(self._without_command, match[1].split(", ")))
            return f"something is missing: give {names}"
        if match := re.search(r'expected ".*" to be one of \{(.*)\}', message):
            return f"something is missing: give one of {match[1]}"
        if match := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            known = re.findall(r"[\w-]+", match[2])
            near = did_you_mean(match[1], known)
            return f"{self.prog} has no {match[1]!r}: {near}there are {', '.join(known)}"
        return message

    def _not_known(self, word: str) -> str:
        if word[0] != "-":
            return f"{word!r} is too much: see {self.prog} --help"
        flag = word.split("=")[0].replace("_", "-")
        near = did_you_mean(
            flag, [name for action in self._actions for name in action.option_strings]
        )
        return f"unknown flag {flag}: {near}see {self.prog} --help"

    def _not_usable(self, name: str, value: str, message: str) -> str:
        kinds = [kind for kind in re.findall(r"<class '(\w+)'>", message) if kind in self.TAKES]
        choices = re.search(r"Literal\[(.*?)\]", message)
        takes = f"see {self.prog} --help"
        if kinds:
            takes = f"it takes {self.TAKES[kinds[0]]}"
        elif choices:
            takes = f"give {choices[1]}"
        positional = any(a.dest == name and not a.option_strings for a in self._actions)
        option = name if positional else f"--{name.replace('_', '-')}"
        return f"{option}: cannot use {value!r}: {takes}"

    def _without_command(self, key: str) -> str:
        command, _, rest = key.partition(".")
        parser = self._commands().get(command)
        return parser._without_command(rest) if parser else key

    def _commands(self) -> dict[str, Parser]:
        action = self._subcommands_action
        return dict(action.choices) if action else {}

    def _hyphenate(self) -> None:
        for action in self._actions:
            names = [name.replace("_", "-") for name in action.option_strings]
            spellings = [f"--{name[2:].replace('-', '_')}" for name in names if len(name) > 2]
            self._option_string_actions |= dict.fromkeys([*names, *spellings], action)
            if names and _off(_hint(action)) and len(names) == 1:
                names.append(f"--no-{names[0][2:]}")
            action.option_strings = names

    def _translated(self, words: list[str]) -> list[str]:
        """The words as jsonargparse reads them.

        Nested options and switches are spelt out, and a value that begins with a minus, such as
        -6,0, is no flag.
        """
        result: list[str] = []
        for i, word in enumerate(words):
            name, equals, value = word.partition("=")
            field = name[2:].replace("-", "_")
            following = words[i + 1 : i + 2]
            if re.match(r"-[\d.]+,", word) and result and result[-1].startswith("--"):
                result[-1] += f"={word}"
            elif not name.startswith("--"):
                result.append(word)
            elif (
                not equals and self._hint(field) is bool and following not in (["true"], ["false"])
            ):
                result.append(f"--{field}=true")
            elif field.startswith("no_") and (off := _off(self._hint(field[3:]))):
                result.append(f"--{field[3:]}={off}")
            elif name in self._option_string_actions:
                result.append(word)
            else:
                result.append(f"--{field}{equals}{value}")
        return result

    def _hint(self, field: str) -> Any:
        """The type of an option, which may be one of a part that may be absent."""
        if action := self._option_string_actions.get(f"--{field}"):
            return _hint(action)
        owner, _, last = field.rpartition(".")
        part = _part(self._hint(owner)) if owner else None
        types = {each.name: each.type for each in fields(part)} if part else {}
        return bool if types.get(last) in (bool, "bool") else None


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on stderr, and the end of the process."""
    sys.stderr.write(f"tootlearn: error: {' '.join(message.split())}\n")
    raise SystemExit(status) from None


def warn(problems: Sequence[str]) -> None:
    """A line on stderr for each input that was passed over."""
    for problem in problems:
        print(problem, file=sys.stderr)


def _hint(action: Action) -> Any:
    """The type of an option's value, if it has one: `--generator.help` has none."""
    return None if action.nargs == 0 else getattr(action, "_typehint", None)


def _part(hint: Any) -> Any:
    """The dataclass of a part that may be absent, such as `GeneratorConfig | None`."""
    parts = [each for each in get_args(hint) if is_dataclass(each)]
    return parts[0] if parts and type(None) in get_args(hint) else None


def _off(hint: Any) -> str | None:
    """The value that turns an option off, if it can be."""
    return "false" if hint is bool else "null" if _part(hint) else None
