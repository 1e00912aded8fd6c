"""`python -m tootlearn` is the command `tootlearn`."""

from tootlearn.cli import main

main()
