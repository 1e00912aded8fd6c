"""`tootlearn completion`: scripts that name the commands and their options."""

import shutil
import subprocess

import pytest

from tootlearn.cli.main import COMMANDS


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_script_names_every_command_and_options_with_hyphens(run, shell):
    done = run("completion", shell)
    assert done.status == 0 and done.err == ""
    for command in COMMANDS:
        assert command in done.out
    for option in ("sample-rate", "learning-rate", "no-browser"):
        assert option in done.out
    assert "--generator.encoder_widths" not in done.out and "--sample_rate" not in done.out


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_and_options(run, tmp_path):
    (tmp_path / "script").write_text(run("completion", "bash").out)
    for words, wanted in (
        ("tootlearn gen", "generate"),
        ("tootlearn vary --samp", "--sample-rate"),
    ):
        line = words.split()
        code = (
            f"source ./script; COMP_WORDS=({words}); COMP_CWORD={len(line) - 1}; "
            f"_shtab_tootlearn tootlearn {line[-1]} {line[-2]}; echo ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.split() == [wanted], done.stderr


def test_an_unknown_shell_is_refused(refused):
    message = refused("completion", "fish")
    assert "error: shell: cannot use 'fish': give 'bash', 'zsh', 'tcsh'" in message
