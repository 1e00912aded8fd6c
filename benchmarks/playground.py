"""How fast the book's playground is, in headless Chromium: from a click to the sound, and what the
page weighs.

    python benchmarks/playground.py --count 50

Each click is on "Play" after another seed and pitch, for toots of 0.5 s of all kinds that can be so
short; it ends when the buffer is started. The longest frame of the main thread is measured over all
of it. Needs Chromium and Playwright.
"""

import argparse
import gzip
import shutil
import statistics
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright
from shared import one_machine

from tootlearn.models import export, model_file
from tootlearn.teaching import notebooks

PAGE = Path(__file__).resolve().parents[1] / "book/assets/playground"
CLICKS = """async ({count, kinds}) => {
  const toots = playground.playground, found = [];
  const play = playground.querySelector('[data-part=play]');
  let longest = 0, last = performance.now(), going = true;
  const frame = () => {
    const now = performance.now(); longest = Math.max(longest, now - last); last = now;
    if (going) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  for (let i = 0; i < count; i++) {
    const kind = kinds[i % kinds.length];
    const [low, high] = toots.about.kinds[kind].pitch.map(hz => 69 + 12 * Math.log2(hz / 440));
    const note = low + (high - low) * ((i * 0.618) % 1);
    Object.assign(toots.state, {kind, note, seed: i, duration: 0.5, place: null});
    await new Promise(done => setTimeout(done, 200));
    const heard = new Promise(done =>
      playground.addEventListener('toot', ({detail}) => done(detail.at), {once: true}));
    const clicked = performance.now();
    play.click();
    found.push(await heard - clicked);
  }
  going = false;
  return {found, longest};
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50, help="clicks (default 50)")
    options = parser.parse_args()
    print(one_machine(1))
    model = model_file.load_model("tiny")[0]
    kinds = [i for i, kind in enumerate(model.kinds) if kind.duration[0] <= 0.5 <= kind.duration[1]]
    chromium = next(
        (found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        shutil.copytree(PAGE, site)
        export.to_web(site / "model", model)
        with notebooks.server(site) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            page.wait_for_function("() => playground.dataset.ready === ''")
            measured = page.evaluate(CLICKS, {"count": options.count, "kinds": kinds})
            print(f"Chromium {browser.version}")
            browser.close()
            server.shutdown()
        sizes = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    times = sorted(measured["found"])
    print(
        f"click to sound, {len(times)} toots of 0.5 s: median {statistics.median(times):.0f} ms, ",
        end="",
    )
    print(f"95 % within {times[int(0.95 * len(times))]:.0f} ms, longest {times[-1]:.0f} ms")
    print(f"longest frame of the main thread: {measured['longest']:.0f} ms")
    for name, chosen in (
        ("page", [p for p in sizes if p.parent == site]),
        ("model", [p for p in sizes if p.parent != site]),
    ):
        whole = sum(len(sizes[p]) for p in chosen)
        packed = sum(len(gzip.compress(sizes[p])) for p in chosen)
        print(f"{name}: {whole / 1000:.0f} kB, {packed / 1000:.0f} kB with gzip")


if __name__ == "__main__":
    main()
