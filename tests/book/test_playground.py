"""The playground in a browser: the package's toots, every control by mouse, finger and key, nothing
from elsewhere.
"""

import base64
import itertools
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tootlearn import rng
from tootlearn.controls import Controls
from tootlearn.data import synthesis
from tootlearn.dsp import measures
from tootlearn.evaluation.metrics import compare
from tootlearn.generation.inversion import invert
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models import export, model_file
from tootlearn.models.decoder import Condition
from tootlearn.teaching import notebooks

pytestmark = pytest.mark.book
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book/assets/playground"
AXE = (ROOT / "tests/book/vendor/axe/axe.min.js").read_text("utf8")
READY = "() => document.querySelector('#playground').dataset.ready === ''"
RESTS = "() => !playground.playground.busy"  # an element with an id is a variable of the window
SHOWN = "() => playground.playground.rendered.key"
WAVE = "() => [...playground.playground.rendered.wave]"
STATE = "() => playground.playground.state"
ASK = """async requests => {
  const {engine} = playground.playground, found = [];
  for (const request of requests) {
    const {logMel} = await engine.ask('drawing', request);
    const {wave} = await engine.ask('toot', request);
    for (const numbers of [logMel, wave]) {
      const bytes = new Uint8Array(numbers.buffer);
      let text = '';
      for (let i = 0; i < bytes.length; i += 8192)
        text += String.fromCharCode(...bytes.subarray(i, i + 8192));
      found.push(btoa(text));
    }
  }
  return found;
}"""
SHORT = "?kind=trumpet&duration=0.3"
LOST = """() => document.querySelector('#playground [role=status]').textContent
  .includes('could not be loaded')"""
HEARD = """() => { const root = document.querySelector('#playground'); window.heard = [];
  root.addEventListener('toot', ({detail}) => window.heard.push([...detail.wave])); }"""


@pytest.fixture(scope="module")
def speaker() -> TootGenerator:
    """What the page plays, in Python."""
    return TootGenerator(export.dequantised(model_file.load_model("tiny")[0]), {})


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> str:
    """The address of the page, two folders below the server's root."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(PAGE, root / "a/b")
    export.to_web(root / "a/b/model", model_file.load_model("tiny")[0])
    with notebooks.server(root) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a/b/"
        server.shutdown()


@pytest.fixture
def visit(browser, site):
    """Opens the page: visit(query, width, mode); what fails in it, or asks for anything elsewhere,
    fails the test.
    """
    contexts, faults = [], []

    def refuse(route) -> None:
        faults.append(route.request.url)
        route.abort()

    def call(query: str = "", width: int = 1280, mode: str = "light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme=mode, **options
        )
        contexts.append(context)
        context.route(lambda url: not url.startswith((site, "data:", "blob:")), refuse)
        page = context.new_page()
        page.on(
            "console",
            lambda said: faults.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.goto(f"{site}index.html{query}")
        page.wait_for_function(READY)
        page.evaluate(HEARD)
        return page

    yield call
    for context in contexts:
        context.close()
    assert faults == []


def requests(speaker: TootGenerator, count: int) -> list[dict]:
    """Controls, places of the pad and seeds at random, of all kinds."""
    asked = []
    for i in range(count):
        controls = speaker.controls(speaker.kinds[i % len(speaker.kinds)], seed=i)
        place = (6 * rng.uniform(i, 77, 2) - 3).tolist() if i % 2 else None
        values = {
            name: float(getattr(controls, name)[0])
            for name in ("pitch", "duration", "brightness", "loudness")
        }
        seed = int(rng.words(i, 78, 1)[0]) * 2**20 + i
        asked.append(values | {"kind": int(controls.kind[0]), "seed": seed, "place": place})
    return asked


def residual(speaker: TootGenerator, plane: torch.Tensor, request: dict) -> torch.Tensor:
    generator, kind = speaker.model.generator, request["kind"]
    noise = torch.from_numpy(rng.normal(request["seed"], 12, generator.config.residual)).float()
    if request["place"]:
        noise = export.bent(noise, plane[kind], tuple(request["place"]))
    return generator.prior.sample(Condition.of(controls_of(request)), noise[None])


def controls_of(request: dict) -> Controls:
    names = ("pitch", "duration", "brightness", "loudness")
    return Controls(np.array([request["kind"]]), *(np.array([request[name]]) for name in names))


def test_the_page_draws_and_speaks_as_the_package_does(visit, speaker):
    """50 toots: log-mels to 3e-4 (.003 dB), f0 to 5 cents, waves to .5 dB, but for one that is .504
    dB off.

    Where two bins are equally loud to float32's last bit, either is the peak that a region's phase
    comes from.

    The log-mels are held to PyTorch in float64: in float32 it strays from that by up to 1e-3
    itself, since an octave of f0 has a step of 1e-6 there, and a harmonic may pass a narrow band.
    The page has float32 in places too.
    """
    page, asked = visit(), requests(speaker, 50)
    plane = export.directions(model_file.load_model("tiny")[0])
    exact = export.dequantised(speaker.model).double().generator
    found, apart = [base64.b64decode(text) for text in page.evaluate(ASK, asked)], []
    for request, drawn, said in zip(asked, found[::2], found[1::2], strict=True):
        controls, z = controls_of(request), residual(speaker, plane, request)
        condition = Condition(
            *(x.double() if x.is_floating_point() else x for x in Condition.of(controls))
        )
        condition = condition._replace(octave=torch.from_numpy(np.log2(controls.pitch)))
        with torch.no_grad():
            expected = exact.decode(condition, z.double()).log_mel[0]
        assert np.abs(np.frombuffer(drawn) - expected.flatten().numpy()).max() <= 3e-4, request
        ours, theirs = (
            torch.from_numpy(np.frombuffer(said, np.float32).copy()),
            torch.from_numpy(speaker.render(controls, z, request["seed"])),
        )
        length = min(len(ours), len(theirs))
        # 20 ms: a slow fade may touch -60 dB again
        assert abs(len(ours) - len(theirs)) <= 441, request
        for whole in (ours, theirs):
            assert not bool((whole[length + 2 :].abs() > 2e-3 * whole.abs().max()).any()), request
        apart.append(float(compare(ours[:length], theirs[:length]).log_spectral_distance))
        kind = speaker.model.kinds[request["kind"]]
        if kind.steady:
            heard = [
                measures.chord_f0(w[:length], 22050, kind.intervals, request["pitch"])
                for w in (ours, theirs)
            ]
            assert abs(float(measures.cents(*heard))) <= 5, request
    assert sorted(apart)[-2] <= 0.5 and max(apart) <= 0.55 and np.median(apart) <= 0.05


def test_random_numbers_are_the_packages(visit):
    page = visit()
    for seed, stream in ((0, 11), (7, 12), (2**53 - 1, 13), (2**32, 2**32 - 1)):
        found = page.evaluate(
            "async ([seed, stream]) => { const r = await import('./random.js');"
            "return [[...r.words(seed, stream, 9, 5)], [...r.normal(seed, stream, 9)], "
            "r.child(seed, 3)]; }",
            [seed, stream],
        )
        assert found[0] == rng.words(seed, stream, 9, start=5).tolist()
        np.testing.assert_allclose(found[1], rng.normal(seed, stream, 9), rtol=1e-12)
        assert found[2] == rng.child(seed, 3)


def settled(page) -> str:
    """What is rendered, once the engine rests."""
    page.wait_for_function(RESTS)
    return page.evaluate(SHOWN)


def heard(page) -> int:
    settled(page)
    return page.evaluate("() => window.heard.length")


@pytest.mark.parametrize("way", ["mouse", "touch", "keyboard"])
def test_every_dial_turns(visit, way):
    page = visit(SHORT, width=390 if way == "touch" else 1280, has_touch=way == "touch")
    for name in ("note", "duration", "brightness", "loudness", "pad0", "pad1"):
        before, count, dial = settled(page), heard(page), page.locator(f"input[name={name}]")
        if way == "keyboard":
            dial.focus()
            page.keyboard.press("ArrowRight")
        else:
            dial.scroll_into_view_if_needed()
            box = dial.bounding_box()
            place = box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2
            (page.touchscreen.tap if way == "touch" else page.mouse.click)(*place)
        assert heard(page) > count, name
        assert settled(page) != before, name


@pytest.mark.parametrize("way", ["mouse", "touch"])
def test_pad_and_curve_are_drawn_on(visit, way):
    page = visit(SHORT, width=390 if way == "touch" else 1280, has_touch=way == "touch")
    for count, part in enumerate(("pad", "curve"), 1):
        before, canvas = settled(page), page.locator(f"[data-part={part}]")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        if way == "touch":
            page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5)
        else:
            page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.2)
            page.mouse.down()
            page.mouse.move(
                box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5, steps=12
            )
            page.mouse.up()
        assert heard(page) == count and settled(page) != before
    state = page.evaluate(STATE)
    np.testing.assert_allclose(state["place"], [1.5, 0], atol=0.1)
    assert state["envelope"][8] == pytest.approx(-20, abs=1)
    assert (way == "touch") == (state["envelope"][4] == 0)


def test_the_curve_by_keyboard_is_heard_in_the_level(visit):
    page = visit("?kind=trumpet&note=69&duration=0.8")
    flat = np.array(page.evaluate(WAVE))
    page.locator("[data-part=curve]").focus()
    page.keyboard.press("End")
    for _ in range(7):  # points 12 to 6
        page.keyboard.press("PageDown")
        page.keyboard.press("PageDown")
        page.keyboard.press("ArrowLeft")
    settled(page)
    bent, untouched = np.array(page.evaluate(WAVE)), int(len(flat) * 4 / 11)  # up to point 5
    assert (
        page.locator("[data-part=curve]").get_attribute("aria-valuetext") == "point 5 of 12: 0 dB"
    )
    gain = bent[5000] / flat[5000]  # of what is not bent: the loudness of the whole stays
    assert 1.1 < gain < 4 and bent[-1] == pytest.approx(
        gain * flat[-1] * 10 ** (-12 / 20), rel=1e-3
    )
    np.testing.assert_allclose(bent[:untouched], gain * flat[:untouched], rtol=1e-4, atol=1e-7)
    levels = [float(measures.loudness(torch.from_numpy(x).float(), 22050)) for x in (flat, bent)]
    assert levels[1] == pytest.approx(levels[0], abs=0.1)
    page.locator("[data-part=flat]").click()
    settled(page)
    assert page.evaluate(STATE)["envelope"] is None


@pytest.mark.parametrize("way", ["mouse", "touch", "keyboard"])
def test_buttons_kinds_and_keys(visit, way):
    page = visit(width=390 if way == "touch" else 1280, has_touch=way == "touch")

    def press(locator) -> None:
        if way == "keyboard":
            locator.focus()
            page.keyboard.press("Enter")
        elif way == "touch":
            locator.tap()
        else:
            locator.click()

    count = 0
    for words in ("tuba", "train horn"):
        press(page.get_by_role("button", name=words, exact=True))
        count += 1
        assert heard(page) == count
        assert (
            page.get_by_role("button", name=words, exact=True).get_attribute("aria-pressed")
            == "true"
        )
    before = settled(page)
    press(page.get_by_role("button", name="Play", exact=True))
    assert heard(page) == count + 1 and settled(page) == before
    press(page.get_by_role("button", name="Dice"))
    assert (
        heard(page) == count + 2 and json.loads(settled(page))["seed"] != json.loads(before)["seed"]
    )
    key = page.locator(".toots-piano button:enabled").nth(2)
    press(key)
    assert heard(page) == count + 3
    note = int(key.get_attribute("data-note"))
    assert json.loads(settled(page))["pitch"] == pytest.approx(440 * 2 ** ((note - 69) / 12))


def test_letters_play_the_piano(visit):
    page = visit(SHORT)
    page.get_by_role("button", name="Play", exact=True).focus()
    first = int(page.locator(".toots-piano button").first.get_attribute("data-note"))
    page.keyboard.press("k")
    assert heard(page) == 1
    assert json.loads(settled(page))["pitch"] == pytest.approx(440 * 2 ** ((first + 12 - 69) / 12))
    page.locator("input[name=seed]").focus()
    page.keyboard.press("e")
    assert heard(page) == 1


def test_an_address_holds_the_whole_toot(visit):
    page = visit("?kind=tuba&duration=0.6")
    page.locator("input[name=brightness]").focus()
    page.keyboard.press("ArrowRight")
    page.locator("input[name=seed]").fill("9007199254740991")
    page.keyboard.press("Enter")
    page.locator("input[name=pad0]").focus()
    page.keyboard.press("ArrowLeft")
    page.locator("[data-part=curve]").focus()
    page.keyboard.press("ArrowDown")
    asked = settled(page)
    query = page.evaluate("location.search")
    wave = page.evaluate(WAVE)
    again = visit(query)
    assert again.evaluate(SHOWN) == asked
    assert again.evaluate(WAVE) == wave
    assert again.evaluate("location.search") == query


def test_an_address_holds_a_place_beyond_the_pad(visit):
    """Turning one dial keeps where a seed lies along the other, and some lie farther out than the
    pad reaches.
    """
    model, _ = model_file.load_model("tiny")
    first = export.directions(model)[[kind.name for kind in model.kinds].index("tuba"), 0]
    assert 9 * float(first.abs().sum()) > 10  # where this noise lies along the first dial
    page = visit("?kind=tuba&own=" + ",".join(str(9 * int(sign)) for sign in first.sign()))
    page.locator("input[name=pad1]").focus()
    page.keyboard.press("ArrowRight")
    asked = settled(page)
    assert visit(page.evaluate("location.search")).evaluate(SHOWN) == asked
    page = visit("?kind=tuba&pad=3.28,-4.5")
    assert page.evaluate(STATE)["place"] == [3.28, -4.5] and "pad=3.28%2C-4.5" in page.evaluate(
        "location.search"
    )
    page.locator("input[name=pad1]").focus()
    page.keyboard.press("ArrowRight")
    settled(page)
    assert page.evaluate(STATE)["place"][0] == 3.28


BAD = ["?kind=none&seed=-1&note=x", "?note=1e9&duration=-5&seed=1e99&pad=1&curve=3,4"]


@pytest.mark.parametrize("query", BAD)
def test_a_bad_address_plays_something_usual(visit, query):
    page = visit(query)
    page.get_by_role("button", name="Play", exact=True).click()
    assert heard(page) == 1


def test_letters_are_heard_after_a_click_that_focuses_nothing(visit):
    page = visit("?kind=trumpet")
    page.locator("[data-part=pad]").click()
    settled(page)
    before = page.evaluate("() => window.heard.length")
    page.keyboard.press("h")
    page.wait_for_function(f"() => window.heard.length > {before}")
    assert heard(page) == before + 1


def test_what_is_downloaded_is_what_was_played(visit, tmp_path):
    page = visit("?kind=trumpet&note=69")
    page.get_by_role("button", name="Play", exact=True).click()
    settled(page)
    played = np.array(page.evaluate("() => window.heard[0]"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download WAV").click()
    assert download.value.suggested_filename == "trumpet_A4_1.wav"
    download.value.save_as(tmp_path / "toot.wav")
    samples, rate = soundfile.read(tmp_path / "toot.wav")
    assert rate == 22050 and len(samples) == len(played)
    np.testing.assert_allclose(samples, played, atol=1 / 32768)


def own_wave(speaker: TootGenerator, kind: str, seed: int) -> np.ndarray:
    """A toot of the synthesiser, a kind's middle, with silence around it: a sound that the page has
    not made.
    """
    controls = speaker.controls(kind, seed=seed)
    numbers = (
        float(getattr(controls, name)[0])
        for name in ("pitch", "duration", "brightness", "loudness")
    )
    return np.pad(synthesis.render(kind, *numbers, seed), (3000, 4000)).astype(np.float32)


def test_the_page_hears_as_the_package_does(visit, speaker):
    """The same kind and controls as `inversion.invert` finds by the same weights, unless two
    kinds are as near.

    What is brighter than any toot is taken for the brightest here, and for what it is there.
    """
    page, agreed = visit(), 0
    for seed, kind in enumerate(speaker.kinds):
        wave = own_wave(speaker, kind, seed)
        found = page.evaluate(
            "async (wave) => { const {engine} = playground.playground;"
            "const {wave: _, ...found} = await engine.ask('hear', Float32Array.from(wave)); "
            "return found; }",
            wave.tolist(),
        )
        expected = invert(speaker, torch.from_numpy(wave))
        bright = expected.controls.brightness[0]
        assert found["error"] <= expected.error + (0.5 if bright <= 1 else 2.5), (
            kind,
            found["error"],
            expected.error,
        )
        if found["kind"] != int(expected.controls.kind[0]):
            continue
        agreed += 1
        apart = 1200 * np.log2(found["pitch"] / expected.controls.pitch[0])
        assert abs(apart) < 10, (kind, found["pitch"], expected.controls.pitch[0])
        assert found["duration"] == pytest.approx(expected.controls.duration[0], abs=0.005), kind
        assert found["loudness"] == pytest.approx(expected.controls.loudness[0], abs=0.1), kind
        assert found["brightness"] == pytest.approx(np.clip(bright, 0, 1), abs=0.03), kind
        noise = speaker.network.prior.noise(Condition.of(expected.controls), expected.residual)[0]
        np.testing.assert_allclose(
            found["noise"], noise, atol=0.1 if bright <= 1 else 0.5, err_msg=kind
        )
    assert agreed >= 10


def drop(page, path: Path) -> None:
    """Drop a file on the page, as a hand does."""
    held = page.evaluate_handle(
        "([name, bytes]) => { const held = new DataTransfer();"
        "held.items.add(new File([Uint8Array.from(bytes)], name)); return held; }",
        [path.name, list(path.read_bytes())],
    )
    page.dispatch_event("#playground", "drop", {"dataTransfer": held})


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_sound_of_ones_own_is_shown_played_and_bent(visit, speaker, tmp_path, way):
    soundfile.write(
        path := tmp_path / "horn.wav", np.stack([own_wave(speaker, "train_horn", 3)] * 2, 1), 22050
    )
    page, fetched = visit("?kind=tuba&pad=1,1"), []
    page.on("request", lambda request: fetched.append(request.url.split("/")[-1]))
    assert not page.locator("[data-part=own]").is_visible()
    if way == "dropped":
        drop(page, path)
    else:
        page.locator("input[name=file]").set_input_files(path)
    page.wait_for_function("() => window.heard.length === 1")
    assert sorted(fetched) == ["ear.bin", "ear.json"]
    settled(page)
    state, query, wave = page.evaluate(STATE), page.evaluate("location.search"), page.evaluate(WAVE)
    assert state["noise"] is not None and state["place"] is None and "own=" in query
    # brass of the synthesiser is not brass as the model knows it
    assert speaker.kinds[state["kind"]] == "train_horn"
    assert "train horn" in page.locator("[data-part=taken]").inner_text()
    shown = "name => playground.querySelector(`[data-part=${name}]`).toDataURL()"
    yours, ours = (page.evaluate(shown, name) for name in ("yours", "ours"))
    # an empty picture has some hundred letters
    assert len(yours) > 3000 and len(ours) > 3000 and yours != ours
    page.get_by_role("button", name="Play yours").click()
    page.locator("input[name=pad0]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft" if state["noise"][0] > 0 else "ArrowRight")
    settled(page)
    assert page.evaluate(WAVE) != wave and page.evaluate(STATE)["noise"] == state["noise"]
    assert page.evaluate(shown, "ours") != ours and page.evaluate(shown, "yours") == yours
    assert visit(query).evaluate(WAVE) == wave  # the address holds it
    page.get_by_role("button", name="Dice").click()
    settled(page)
    assert page.evaluate(STATE)["noise"] is None
    page.evaluate(AXE)
    assert page.evaluate("axe.run().then(found => found.violations.map(fault => fault.id))") == []


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("This is no sound. " * 50)


def silence(path: Path) -> None:
    soundfile.write(path, np.zeros(22050), 22050)


def click(path: Path) -> None:
    soundfile.write(path, np.eye(1, 22050, 9000)[0], 22050)


def endless(path: Path) -> None:
    soundfile.write(path, np.zeros(61 * 8000), 8000)


def heavy(path: Path) -> None:
    path.write_bytes(bytes(20_000_001))


BAD_FILES = {
    nothing: "it is empty",
    text: "no sound in it",
    silence: "no toot in it",
    click: "no toot in it",
}
BAD_FILES |= {endless: "lasts more than 60 s", heavy: "more than 20 MB"}


@pytest.mark.parametrize("make", BAD_FILES, ids=lambda make: make.__name__)
def test_a_file_that_cannot_be_played_is_said_and_nothing_is_lost(visit, tmp_path, make):
    make(path := tmp_path / "bad.wav")
    page = visit("?kind=tuba&pad=1,1")
    before = settled(page)
    page.locator("input[name=file]").set_input_files(path)
    page.wait_for_function(
        "() => playground.querySelector('[role=status]').textContent.includes('cannot be played')"
    )
    assert BAD_FILES[make] in page.locator("[role=status]").inner_text()
    assert settled(page) == before and not page.locator("[data-part=own]").is_visible()


def test_the_page_is_accessible_and_fits(visit):
    page = visit("?kind=trumpet&curve=" + ",".join(["-6"] * 12))
    page.evaluate(AXE)
    for width, mode in itertools.product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=mode)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        found = page.evaluate("axe.run().then(found => found.violations)")
        assert [
            (width, mode, v["id"], node["html"][:150]) for v in found for node in v["nodes"]
        ] == []


def test_a_model_that_cannot_be_loaded_is_said(browser, site):
    context = browser.new_context()
    context.route("**/toot.bin", lambda route: route.fulfill(status=404))
    page = context.new_page()
    page.goto(f"{site}index.html")
    page.wait_for_function(LOST)
    assert "run tootlearn book" in page.locator("[role=status]").inner_text()
    context.close()


def test_the_page_is_light():
    """Bytes that are fetched: the scripts and styles, and the model, which is 1 MB at most."""
    description, weights = export.bundle(model_file.load_model("tiny")[0])
    assert len(weights) + len(json.dumps(description)) < 1_000_000
    scripts = sum(path.stat().st_size for path in PAGE.iterdir() if path.is_file())
    assert scripts < 100_000
