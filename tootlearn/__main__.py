"""The command `tootlearn`, and `python -m tootlearn`: what comes before the first import that may
fail.
"""

import sys


def main() -> None:
    """Run the command line, or the doctor, who needs no package that may be broken.

    Raises:
        SystemExit: as `cli.main.main` and `cli.doctor.run`.
    """
    if sys.argv[1:] == ["doctor"]:
        from tootlearn.cli import doctor

        doctor.run()
        return
    try:
        from tootlearn.cli import main as cli
    except ImportError as error:
        raise SystemExit(
            f"tootlearn: error: a package is missing or broken ({error}): `tootlearn doctor` "
            "says which"
        ) from None
    cli.main()


if __name__ == "__main__":
    main()
