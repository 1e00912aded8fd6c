"""What a run leaves in its folder: a log, and checkpoints to resume from.

`log.jsonl` has a row for each evaluation on the held-out data; `checkpoint.safetensors` is the last
checkpoint, from which `--resume` goes on. Others are kept on request:
`checkpoint-000500.safetensors` every so many steps, and `best.safetensors`. Any of them can take
the place of the last one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tootlearn.files import atomic_write
from tootlearn.training import checkpoint
from tootlearn.training.config import Compute

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LAST, BEST = "checkpoint.safetensors", "best.safetensors"
Score = Callable[[Mapping[str, float]], float]  # of held-out errors, the lower the better


class RunLog:
    """Log and checkpoints of a run, written by the first of its processes.

    Args:
        out: the folder.
        config: of the run, as `checkpoint.save_checkpoint` takes it.
        compute: which checkpoints are kept.
        fabric: what the run computes on; in 16 bits its loss scale is kept as well.
        done: the step of the last checkpoint, if the run resumes from it. The log is then cut back
            to the rows that it had at that step.
        score: by which the best checkpoint is chosen; None: the sum of the held-out errors.
    """

    def __init__(
        self,
        out: Path,
        config: dict[str, Any],
        compute: Compute,
        fabric: Fabric,
        done: int | None = None,
        score: Score | None = None,
    ) -> None:
        self.out, self.config, self.compute, self.fabric = out, config, compute, fabric
        self.log = out / "log.jsonl"
        self.score = score or (lambda errors: sum(errors.values()))
        self.row: dict[str, Any] | None = None  # the last
        for part in out.glob(".*.safetensors.*.part") if fabric.is_global_zero else ():
            part.unlink()  # a checkpoint that was being written when the run was killed
        if done is not None:
            notes = checkpoint.read_notes(out / LAST)
            self.row = notes.get("row")
            if notes.get("scaler") and getattr(self._precision, "scaler", None):
                self._precision.load_state_dict(notes["scaler"])
            if fabric.is_global_zero:
                self._mend(done)

    @property
    def _precision(self) -> Any:
        return self.fabric.strategy.precision

    def _mend(self, done: int) -> None:
        rows = []
        for line in self.log.read_text("utf8").splitlines() if self.log.exists() else ():
            try:
                rows.append(json.loads(line))
            except ValueError:  # cut short
                break
        last = self.row["step"] if self.row else done + 1
        rows = [row for row in rows if row["step"] < last] + ([self.row] if self.row else [])
        if rows or self.log.exists():
            atomic_write(self.log, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def enter(self, row: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Write the checkpoint of a step, then its row of the log, which has "step" and the errors
        "held_out".

        Raises:
            InputError: if a checkpoint cannot be written; the one that was there stays, and so does
                the log.
        """
        self.row = row
        self.keep(row["step"], tensors)
        if self.fabric.is_global_zero:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def keep(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Write the tensors of a step, from `checkpoint.collect_tensors`, as the last checkpoint
        and those to be kept.
        """
        if not self.fabric.is_global_zero:
            return
        names = [BEST] if self._is_best(step) else []
        names += (
            [f"checkpoint-{step:06d}.safetensors"]
            if self.compute.keep_every and step % self.compute.keep_every == 0
            else []
        )
        notes = {"row": self.row, "scaler": self._precision.state_dict()}
        for name in [*names, LAST]:
            checkpoint.save_checkpoint(self.out / name, self.config, step, tensors, notes)

    def _is_best(self, step: int) -> bool:
        if not self.compute.best or not self.row or self.row["step"] != step:
            return False
        best = self.out / BEST
        if not best.exists():
            return True
        before = self.score(checkpoint.read_notes(best)["row"]["held_out"])
        return math.isnan(before) or self.score(self.row["held_out"]) < before
