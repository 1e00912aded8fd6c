"""The words of a command line, read so that a mistake is answered with one line that says what to do."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from typing import NoReturn

from jsonargparse import ArgumentParser


class Parser(ArgumentParser):
    """A parser whose errors are one line that says what to do: jsonargparse's own speak of keys and classes."""

    TAKES = {"int": "a whole number", "float": "a number", "tuple": "a list such as [a,b]"}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        strange = re.search(r"unrecognized arguments: (\S+)", message)
        option = re.search(r"Option '([\w.]+)' is not accepted", message)
        value = re.search(r'Parser key "([\w.]+)".*(?:Given|Got) value: (.*)', message, re.DOTALL)
        if strange:
            flag = strange[1].split("=")[0]
            known = [name for action in self._actions for name in action.option_strings]
            what = f"unknown flag {flag}: {nearest(flag, known)}" if flag[0] == "-" else f"{flag!r} is too much: "
            message = f"{what}see {self.prog} --help"
        elif option:  # of a part, such as --generator.width
            known = [action.dest for action in self._actions]
            message = f"unknown option {option[1]!r}: {nearest(option[1], known)}see --help"
        elif value:
            kind = next((word for word in re.findall(r"<class '(\w+)'>", message) if word in self.TAKES), None)
            takes = f"it takes {self.TAKES[kind]}" if kind else f"see {self.prog} --help"
            message = f"--{value[1]}: cannot use {value[2].strip()!r}: {takes}"
        fail(message.removeprefix("argument "))


def nearest(word: str, known: Iterable[str]) -> str:
    """A question that names the known word which is most like this one; nothing where none is."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}? " if near else ""


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on stderr, and the end of the process."""
    sys.stderr.write(f"tootlearn: error: {' '.join(message.split())}\n")
    raise SystemExit(status) from None
