"""Fetch what the pages need of other people: MathJax, the widgets' bundle, axe for the tests.

    python .ci/vendor.py           fetches what is missing or differs (needs npm and its registry)
    python .ci/vendor.py --check   only compares checksums; exits 1 if a file differs

The files are kept in the repository, so that a build fetches nothing. Versions and checksums stand
below for each package as npm serves it, and in `checksums.txt` for each file that is kept.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CHECKSUMS = ROOT / "book/assets/vendor/checksums.txt"


FONTS = (
    "1551f4f60c37af51121f",
    "7a3337626410ca2f4071",
    "d878b0a6a1144760244f",
)  # Font Awesome, as the bundle names it


class Package(NamedTuple):
    """A package of npm and what is kept of it."""

    name: str
    integrity: str  # sha512 of the archive, in base64
    folder: str  # where its files go
    inside: str  # the folder in the archive that they come from
    files: tuple[str, ...]  # names or, with a / at the end, folders


PACKAGES = (
    Package(  # Apache 2.0
        "mathjax@3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        "book/assets/vendor/mathjax",
        "package/es5",
        ("tex-chtml-full.js", "output/chtml/fonts/woff-v2/", "../LICENSE"),
    ),
    Package(  # BSD 3-clause; its packed parts have the licences that are listed beside it
        "@jupyter-widgets/html-manager@1.0.15",
        "5thBIV6ymNgmPVOHvzx+gGy8ZSKmSazhtGw4/c4xJDVzRhG9PTeQsRjF3FUTopvFi//SABeNz1yp47bCrJ3CQA==",
        "book/assets/vendor/ipywidgets",
        "package/dist",
        ("embed.js", "embed.js.LICENSE.txt", *(f"{name}.woff2" for name in FONTS)),
    ),
    Package(  # MPL 2.0; for the tests alone
        "axe-core@4.14.0",
        "9WTZxEjsZ7b13TH8JPmbV2z8CHbl80/2hm3XPEG4JgNdQLK81IBRXmSxHfMAOkSqQeRxT/0dwNDz2GOm3zzpcQ==",
        "tests/book/vendor/axe",
        "package",
        ("axe.min.js", "LICENSE", "LICENSE-3RD-PARTY.txt"),
    ),
)


def fetch(package: Package) -> list[Path]:
    """Unpack what is kept of a package; returns the files."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", package.name],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (archive,) = Path(folder).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != package.integrity:
            raise SystemExit(f"{package.name} has the checksum {found}, not the one that is pinned")
        written = []
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                name = kept_as(member.name, package)
                content = tar.extractfile(member)
                if name and content:
                    target = ROOT / package.folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
                    written.append(target)
    return written


def kept_as(path: str, package: Package) -> str | None:
    """The name under the package's folder of a file in the archive, or None if it is not kept."""
    for wanted in package.files:
        if wanted.startswith("../"):
            if path == f"{package.inside.rsplit('/', 1)[0]}/{wanted[3:]}":
                return wanted[3:]
        elif path == f"{package.inside}/{wanted}" or (
            wanted.endswith("/") and path.startswith(f"{package.inside}/{wanted}")
        ):
            return path.removeprefix(package.inside + "/")
    return None


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wrong() -> list[str]:
    """The files that are missing or differ from their checksum."""
    lines = [line.split("  ", 1) for line in CHECKSUMS.read_text("utf8").splitlines()]
    return [
        name for sum_, name in lines if not (ROOT / name).is_file() or checksum(ROOT / name) != sum_
    ]


def main(arguments: list[str]) -> int:
    if "--check" not in arguments and (not CHECKSUMS.exists() or wrong()):
        files = sorted(path for package in PACKAGES for path in fetch(package))
        lines = [f"{checksum(path)}  {path.relative_to(ROOT).as_posix()}\n" for path in files]
        CHECKSUMS.write_text("".join(lines), encoding="utf8", newline="\n")
    print(
        "\n".join(f"{name} is missing or differs" for name in wrong()) or "all files are as pinned"
    )
    return int(bool(wrong()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
