"""The commands that hand a model to other programs: `tootlearn export` and `tootlearn play`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser


def export(parser: ArgumentParser, words: list[str]) -> None:
    """`tootlearn export MODEL --to onnx|web`."""
    parser.add_argument(
        "model", type=str, help='a model file; "default" and "tiny" are the shipped ones'
    )
    parser.add_argument(
        "--to", type=Literal["onnx", "web"], required=True, help="onnx, or web: a bundle for a page"
    )
    parser.add_argument(
        "--out",
        type=str | None,
        help="file, or the bundle's folder; without it, named after the model",
    )
    a = parser.parse_args(words)

    from tootlearn.models import export, model_file

    model, _ = model_file.load_model(a.model)
    name = Path(a.model).stem
    if a.to == "onnx":
        out = Path(a.out or f"{name}.onnx")
        apart = export.to_onnx(out, model)
        print(
            f"{out} agrees with the model to {apart:.1e} by onnxruntime; it takes {', '.join(export.INPUTS)}"
        )
    else:
        out = Path(a.out or f"{name}-web")
        size = export.to_web(out, model)
        print(f"toot.json and toot.bin are in {out}, {size / 1000:.0f} kB together")


def play(parser: ArgumentParser, words: list[str]) -> None:
    """`tootlearn play`."""
    parser.add_argument("--model", type=str | None, help="a model file; the shipped one without it")
    parser.add_argument("--device", type=str, default="cpu", help="cpu, cuda, mps or auto")
    parser.add_argument(
        "--vocoder", type=str | None, help='a vocoder or "none"; else the shipped one'
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--no-browser", action="store_true", help="only serve, and print the address"
    )
    a = parser.parse_args(words)

    from tootlearn.generation import playground, toot_generator

    playground.serve(toot_generator.load(a.model, a.device, a.vocoder), a.port, not a.no_browser)


COMMANDS = {
    "export": (export, "Write a model for other programs: as ONNX, or for a web page."),
    "play": (play, "Play the model in the playground, a page on this machine."),
}
