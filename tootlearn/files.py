"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tootlearn.errors import InputError


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file beside its destination, then move it there in one step; on failure leave
    everything as it was.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path} could not be written ({reason}): check the folder and the disk"
        ) from error
    finally:
        part.unlink(missing_ok=True)
