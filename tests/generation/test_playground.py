"""The playground's server gives its model's toots, and only to pages of this machine."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn import rng
from tootlearn.errors import InputError
from tootlearn.generation import playground
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import export

ASKED = {
    "kind": 8,
    "pitch": 440.0,
    "duration": 0.4,
    "brightness": 0.5,
    "loudness": -18.0,
    "seed": 5,
    "place": None,
}


@pytest.fixture(scope="module")
def generator() -> TootGenerator:
    return tootlearn.load()


@pytest.fixture(scope="module")
def client(generator):
    from starlette.testclient import TestClient

    return TestClient(playground.application(generator), base_url="http://127.0.0.1")


def test_the_page_gets_the_toots_that_generate_gives(client, generator):
    answer = client.post("/toot", json=ASKED)
    expected = generator.generate(generator.kinds[8], 440.0, 0.4, 0.5, -18.0, 5)
    np.testing.assert_array_equal(np.frombuffer(answer.content, "<f4"), expected)


def test_the_place_where_a_seed_lies_is_that_seeds_toot(generator):
    plane = export.directions(generator.model)
    noise = torch.from_numpy(rng.normal(5, 12, plane.shape[-1])).float()
    here = playground.render_request(
        generator, plane, ASKED | {"place": (plane[8] @ noise).tolist()}
    )
    there = playground.render_request(generator, plane, ASKED | {"place": [2.0, -2.0]})
    usual = playground.render_request(generator, plane, ASKED)
    np.testing.assert_allclose(here, usual, atol=2e-3)
    assert len(there) != len(usual) or float(np.abs(there - usual).max()) > 0.01


def test_a_sound_that_is_heard_can_be_asked_for(client, generator):
    wave = generator.generate("trumpet", 440.0, 0.5, 0.5, -18.0, 3)
    answer = client.post("/hear", content=np.pad(wave, 2000).astype("<f4").tobytes())
    result = answer.json()
    assert (
        generator.kinds[result["kind"]] == "trumpet"
        and abs(1200 * np.log2(result["pitch"] / 440)) < 10
    )
    assert result["duration"] == pytest.approx(0.5, abs=0.03) and result["error"] < 8
    requested = ASKED | result
    again = client.post("/toot", json=requested)
    other = client.post("/toot", json=requested | {"noise": [-x for x in result["noise"]]})
    front_end = generator.model.front_end

    def apart(answer) -> float:
        ours = torch.from_numpy(np.frombuffer(answer.content, "<f4").copy())
        x, y = (
            front_end(torch.nn.functional.pad(w, (0, 22050 - len(w))))
            for w in (ours, torch.from_numpy(wave))
        )
        return float((x - y).square().mean())

    assert again.status_code == 200 and apart(again) < 0.8 * apart(other)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"abc", 400, "32 bits"),
        (bytes(8000), 400, "silent"),
        (b"", 400, "no toot"),
        (np.full(2000, np.nan, "<f4").tobytes(), 400, "NaN or infinite"),
        (bytes(4 * 50_000 + 4), 413, "at most"),
    ],
)
def test_what_is_no_sound_is_refused(client, body, status, told):
    answer = client.post("/hear", content=body)
    assert answer.status_code == status and told in answer.text
    assert (
        client.post("/hear", content=body, headers={"origin": "http://evil.example"}).status_code
        == 403
    )


def test_the_page_and_its_model_are_served(client):
    page = client.get("/")
    assert 'data-play="./"' in page.text and 'id="playground"' in page.text
    for name in ("playground.js", "worker.js", "playground.css"):
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/model/toot.json").json()["format"] == export.FORMAT
    assert client.get("/../pyproject.toml").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1.evil.example:80"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:8000"}, 200),
    ],
)
def test_pages_from_elsewhere_are_refused(client, headers, status):
    assert client.post("/toot", json=ASKED, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": 99}, "kinds 0 to 11"),
        ({"kind": "x"}, "not a request for a toot"),
        ({"pitch": 1e5}, "out of range"),
        ({"duration": float("nan")}, "out of range"),
        ({"seed": -1}, "a seed is"),
        ({"seed": 0.5}, "a seed is"),
        ({"place": [1]}, "not a request for a toot"),
        ({"place": [1e9, 0]}, "a place on the pad"),
        ({"noise": [0.0] * 7}, "noise is 8 numbers"),
        ({"noise": [float("nan")] * 8}, "noise is 8 numbers"),
        ({"noise": "x"}, "not a request for a toot"),
    ],
)
def test_a_bad_request_is_answered_in_words(generator, changed, message):
    with pytest.raises(InputError, match=message):
        playground.render_request(generator, torch.zeros(12, 2, 8), ASKED | changed)


@pytest.mark.parametrize(
    ("body", "status"), [(b"no json", 400), (b"[]", 400), (b"{}", 400), (b" " * 20_000, 413)]
)
def test_a_body_that_is_none_or_too_long_is_refused(client, body, status):
    assert client.post("/toot", content=body).status_code == status


def test_a_request_that_does_not_end_is_given_up(client, monkeypatch):
    monkeypatch.setattr(playground, "TIMEOUT", 0.05)
    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"100")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/toot",
        "raw_path": b"/toot",
        "headers": headers,
    }
    scope |= {
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
        "root_path": "",
    }
    parts, sent = [{"type": "http.request", "body": b"{", "more_body": True}], []

    async def receive():
        if not parts:
            await asyncio.sleep(60)
        return parts.pop()

    async def send(message):
        sent.append(message)

    # in this thread the browser of an earlier test may have a loop running
    with ThreadPoolExecutor(1) as own:
        own.submit(asyncio.run, client.app(scope, receive, send)).result()
    assert sent[0]["status"] == 408
    assert client.post("/toot", content=b"[" * 9_999).status_code == 400


def test_a_port_that_is_taken_is_said(generator):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot be used"):
            playground.serve_playground(generator, taken.getsockname()[1], browser=False)
