"""`tootlearn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import Namespace

from tootlearn.cli.parser import Parser

HELP = "Write a model for other programs: as ONNX, or for a web page."


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument(
        "model", type=str, help='a model file; "default" and "tiny" are the shipped ones'
    )
    parser.add_argument(
        "--to", type=Literal["onnx", "web"], required=True, help="onnx, or web: a bundle for a page"
    )
    parser.add_argument(
        "--out", type=str | None, help="a file, or the bundle's folder (default: the model's name)"
    )


def run(args: Namespace) -> None:
    """Write the model."""
    from tootlearn.models import export, model_file

    model, _ = model_file.load_model(args.model)
    name = Path(args.model).stem
    if args.to == "onnx":
        out = Path(args.out or f"{name}.onnx")
        difference = export.to_onnx(out, model)
        print(
            f"{out} agrees with the model to {difference:.1e} by onnxruntime; "
            f"it takes {', '.join(export.INPUTS)}"
        )
    else:
        out = Path(args.out or f"{name}-web")
        size = export.to_web(out, model)
        print(f"toot.json and toot.bin are in {out}, {size / 1000:.0f} kB together")
