"""The playground on this machine: the book's page, with toots made in Python by the full model and
its vocoder.
"""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tootlearn.errors import InputError
from tootlearn.generation import inversion
from tootlearn.generation.toot_generator import TootGenerator, checked_seed
from tootlearn.models import export
from tootlearn.models.decoder import Condition

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PACKAGE = Path(__file__).parents[1]
LARGEST = 10_000  # bytes of a request for a toot
LONGEST = 4 * 50_000  # bytes of a recording to invert: 2.2 s
TIMEOUT = 5.0  # s, for a request to arrive
HOSTS = ["127.0.0.1", "localhost"]


def page() -> Path:
    """The folder of the page: in the package, or in the clone's `book`. Raises InputError if there
    is none.
    """
    for folder in (PACKAGE / "playground", PACKAGE.parent / "book/assets/playground"):
        if (folder / "playground.js").is_file():
            return folder
    raise InputError("this installation holds no playground: install tootlearn again")


def render_request(
    generator: TootGenerator, plane: torch.Tensor, request: Any
) -> NDArray[np.float32]:
    """The toot that a request of the page describes.

    Args:
        generator: what makes it.
        plane: the two directions of the pad for each kind (`export.directions`).
        request: the decoded JSON: "kind" (an index), "pitch" (Hz), "duration" (s), "brightness",
            "loudness" (dBFS), "seed", "place" (two numbers on the pad, or null) and "noise" (of a
            recording, from :func:`invert_recording`, or null for that of the seed).

    Returns:
        Wave, shape (N,), float32.

    Raises:
        InputError: if a field is missing, of the wrong type or out of range.
    """
    try:
        names = ("pitch", "duration", "brightness", "loudness")
        pitch, duration, brightness, loudness = (float(request[name]) for name in names)
        index, seed, place = int(request["kind"]), request["seed"], request.get("place")
        if not 0 <= index < len(generator.kinds):
            raise InputError(f"there are kinds 0 to {len(generator.kinds) - 1}, not {index}")
        moved = None if place is None else (float(place[0]), float(place[1]))
        noise_of_sound = (
            None
            if request.get("noise") is None
            else torch.tensor([float(value) for value in request["noise"]])
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is not a request for a toot ({error!r})") from error
    if moved and not all(abs(value) <= 10 for value in moved):
        raise InputError(f"a place on the pad has two numbers from -10 to 10, not {moved}")
    controls = generator.controls(
        generator.kinds[index], pitch, duration, brightness, loudness, checked_seed(seed)
    )
    noise = generator.noise(seed)[0].cpu() if noise_of_sound is None else noise_of_sound
    if len(noise) != plane.shape[-1] or not bool((noise.abs() <= 10).all()):
        raise InputError(f"noise is {plane.shape[-1]} numbers from -10 to 10")
    bent = export.bent(noise, plane[index], moved) if moved else noise
    residual = generator.network.prior.sample(
        Condition.of(controls, generator.device), bent.to(generator.device)[None]
    )
    return generator.render(controls, residual, seed)


def invert_recording(generator: TootGenerator, body: bytes) -> dict[str, Any]:
    """The request with which the model comes nearest to a recording: controls within the ranges of
    its kind, "noise", and "error" (dB).

    Args:
        generator: the model.
        body: the wave at the model's sample rate, little-endian float32.

    Raises:
        InputError: if the body is not made of 32-bit numbers, or as `inversion.invert`.
    """
    if len(body) % 4:
        raise InputError("a sound is sent as numbers of 32 bits")
    sound = inversion.invert(generator, torch.from_numpy(np.frombuffer(body, "<f4").copy()))
    controls, kind = sound.controls, generator.model.kinds[int(sound.controls.kind[0])]
    values = {
        name: float(getattr(controls, name)[0])
        for name in ("pitch", "duration", "brightness", "loudness")
    }
    ranges = {"pitch": kind.pitch, "duration": kind.duration, "brightness": (0.0, 1.0)}
    values |= {name: min(max(values[name], low), high) for name, (low, high) in ranges.items()}
    noise = generator.network.prior.noise(Condition.of(controls, generator.device), sound.residual)[
        0
    ]
    return values | {"kind": int(controls.kind[0]), "noise": noise.tolist(), "error": sound.error}


def application(generator: TootGenerator) -> Starlette:
    """A web application that serves the page and its toots, to pages of this machine only.

    Raises:
        InputError: if Starlette is not installed, or the model cannot be played (`export.bundle`).
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.requests import ClientDisconnect
        from starlette.responses import HTMLResponse, PlainTextResponse
        from starlette.responses import Response as Plain
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles
    except ImportError as error:
        raise InputError(f'{error.name} is not installed: pip install "tootlearn[play]"') from error
    folder = page()
    about, weights = export.bundle(generator.model)
    pad = about["tensors"]["directions"]
    numbers = np.frombuffer(weights, "<f4", math.prod(pad["shape"]), pad["offset"])
    plane = torch.from_numpy(numbers.astype(np.float32)).view(pad["shape"])
    text = (folder / "index.html").read_text("utf8")

    async def index(request: Request) -> Response:
        return HTMLResponse(
            text.replace('data-model="model/"', 'data-model="model/" data-play="./"')
        )

    async def model(request: Request) -> Response:
        if request.path_params["part"] == "toot.json":
            return Plain(json.dumps(about), media_type="application/json")
        return Plain(weights, media_type="application/octet-stream")

    async def read_body(request: Request, largest: int) -> bytes | Response:
        """The body, or the response that refuses it."""
        origin = request.headers.get("origin", "").split("://")[-1].split(":")[0]
        if origin and origin not in HOSTS:
            return PlainTextResponse("only the page on this machine may send requests", 403)
        body = b""
        try:
            async with asyncio.timeout(TIMEOUT):
                async for part in request.stream():
                    body += part
                    if len(body) > largest:
                        return PlainTextResponse(f"a request has at most {largest} bytes", 413)
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse(f"a request must arrive within {TIMEOUT:g} s", 408)
        return body

    async def make(request: Request) -> Response:
        body = await read_body(request, LARGEST)
        if not isinstance(body, bytes):
            return body
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return PlainTextResponse("a request for a toot is JSON", 400)
        try:
            wave = await run_in_threadpool(render_request, generator, plane, fields)
        except InputError as error:
            return PlainTextResponse(str(error), 400)
        return Plain(wave.astype("<f4").tobytes(), media_type="application/octet-stream")

    async def hear(request: Request) -> Response:
        body = await read_body(request, LONGEST)
        if not isinstance(body, bytes):
            return body
        try:
            return Plain(
                json.dumps(await run_in_threadpool(invert_recording, generator, body)),
                media_type="application/json",
            )
        except InputError as error:
            return PlainTextResponse(str(error), 400)

    routes = [
        Route("/", index),
        Route("/toot", make, methods=["POST"]),
        Route("/hear", hear, methods=["POST"]),
        Route("/model/{part}", model),
        Mount("/", StaticFiles(directory=folder)),
    ]
    return Starlette(
        routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)]
    )


def serve_playground(generator: TootGenerator, port: int = 0, browser: bool = True) -> None:
    """Serve the playground to this machine until Ctrl-C, and open it in a browser.

    Args:
        generator: what makes the toots.
        port: 0 takes a free one.
        browser: whether to open it.

    Raises:
        InputError: as `application`; or if the port is taken.
    """
    import socket
    import webbrowser

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOSTS[0], port))
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}): give another by --port"
            ) from error
        app = application(generator)
        import uvicorn

        address = f"http://{HOSTS[0]}:{listener.getsockname()[1]}/"
        print(f"the playground is at {address} until you press Ctrl-C", flush=True)
        if browser:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=10)
        uvicorn.Server(config).run(sockets=[listener])
