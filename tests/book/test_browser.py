"""Every page in a real browser without a network: wide and narrow, light and dark, by mouse and by
keyboard.
"""

import os
import re
from pathlib import Path

import pytest

from tests.book.lint import NOTEBOOKS, ROOT

pytestmark = pytest.mark.book
AXE = (ROOT / "tests/book/vendor/axe/axe.min.js").read_text("utf8")
WIDTHS, MODES = (1280, 390), ("light", "dark")
ONE_OF_EACH = [
    "book/intro.html",
    "book/playground.html",
    "book/api/dsp.html",
    "book/glossary.html",
    "notebooks/00_sound.html",
    "search.html",
]
CHAPTERS = [f"notebooks/{path.stem}.html" for path in NOTEBOOKS]
TYPESET = "() => !window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)"


@pytest.fixture(scope="module")
def names(built) -> list[str]:
    """All pages, by their path below the site's root."""
    paths = (path.relative_to(built.html) for path in sorted(built.html.rglob("*.html")))
    return [
        path.as_posix()
        for path in paths
        if path.parts[0] != "_static" and path.name != "index.html"
    ]


class Page:
    """A page of the browser that notes what fails."""

    def __init__(self, browser, address: str, width: int, mode: str) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=mode
        )
        self.context.route(lambda url: not url.startswith((address, "data:", "blob:")), self.refuse)
        self.page = self.context.new_page()
        self.address, self.faults = address, []
        self.page.on(
            "console", lambda said: self.faults.append(said.text) if said.type == "error" else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("requestfailed", self.failed)

    def refuse(self, route) -> None:
        self.faults.append(f"asked for {route.request.url}")
        route.abort()

    def failed(self, request) -> None:
        # the icon, and the playground's model, are given up if the next page is asked for before
        # they are there
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url[:200]} ({request.failure})")

    def open(self, name: str):
        """Load a page, and wait until its mathematics is set."""
        self.page.goto(self.address + name, wait_until="load")
        self.page.wait_for_function(TYPESET)
        return self.page


@pytest.fixture
def visit(browser, address):
    """Opens a page: visit(name, width, mode); what fails in it fails the test."""
    visits = []

    def call(name: str, width: int = 1280, mode: str = "light"):
        visits.append(Page(browser, address, width, mode))
        return visits[-1].open(name)

    yield call
    faults = [fault for visited in visits for fault in visited.faults]
    for visited in visits:
        visited.context.close()
    assert faults == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_whole_and_accessible(browser, address, names, width, mode):
    """No failed request, no error, no sideways scroll, mathematics set, and nothing that axe finds
    wrong.

    Every page is seen in both widths and in both modes. Colours do not depend on the width: of the
    other two combinations, one page of each kind is enough.
    """
    visited, wrong = Page(browser, address, width, mode), []
    if (width, mode) not in zip(WIDTHS, MODES, strict=True):
        names = ONE_OF_EACH
    for name in names:
        page = visited.open(name)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wrong.append((name, "scrolls sideways"))
        if page.evaluate("document.documentElement.dataset.theme") != mode:
            wrong.append((name, f"is not {mode}"))
        unset = (
            "[...document.querySelectorAll('.math')]"
            ".filter(part => !part.querySelector('mjx-container')).length"
        )
        if page.evaluate(unset) or page.evaluate(
            "document.querySelectorAll('mjx-merror, .MathJax_Error').length"
        ):
            wrong.append((name, "mathematics that is not set"))
        page.evaluate(AXE)
        for violation in page.evaluate("axe.run().then(found => found.violations)"):
            wrong += [(name, violation["id"], node["html"][:200]) for node in violation["nodes"]]
        wrong += [(name, fault) for fault in visited.faults]
        visited.faults.clear()
    visited.context.close()
    assert wrong == []


def test_axe_sees_what_is_inaccessible(visit):
    page = visit("book/intro.html")
    page.evaluate("document.querySelector('main img').removeAttribute('alt')")
    page.evaluate(AXE)
    found = page.evaluate(
        "axe.run().then(found => found.violations.map(violation => violation.id))"
    )
    assert "image-alt" in found


PLAY = """async player => {
  player.muted = true;
  await player.play();
  await new Promise(done => player.addEventListener('timeupdate', done, {once: true}));
  player.pause();
  return player.currentTime >= 0 && !player.error ? player.duration : -1;
}"""


def play_all(page) -> None:
    """Every player must play; all do at the same time."""
    found = page.evaluate(f"() => Promise.all([...document.querySelectorAll('audio')].map({PLAY}))")
    assert found
    assert [i for i, length in enumerate(found) if not 0.01 < length < 60] == []


STOPS = """() => [...document.querySelectorAll(
  'a[href], button, input, select, textarea, summary, audio[controls], [tabindex="0"]')]
  .filter(part => part.tabIndex >= 0 && !part.disabled
    && part.checkVisibility({visibilityProperty: true})
    && !(part.type === 'radio' && !part.checked))
  .map((part, i) => { part.dataset.stop = i; return part.outerHTML.slice(0, 120); })"""


def tab_to_all(page) -> None:
    """The Tab key must reach every control."""
    stops = page.evaluate(STOPS)
    assert stops, "the page has no control"
    reached: set[int] = set()
    for _ in range(8 * len(stops)):  # a player has several stops of its own
        page.keyboard.press("Tab")
        stop = page.evaluate("document.activeElement.dataset.stop")
        if stop is not None:
            reached.add(int(stop))
        if len(reached) == len(stops):
            break
    assert [stops[i] for i in range(len(stops)) if i not in reached] == []


CUT_OFF = """parts => parts.filter(part => part.scrollWidth > part.clientWidth)
  .map(part => part.innerText.slice(0, 80))"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_on_a_desktop_code_fits_tab_reaches_every_control_and_every_player_plays(visit, name):
    page = visit(name)
    assert page.locator("main .cell_input pre").evaluate_all(CUT_OFF) == []
    tab_to_all(page)
    play_all(page)


@pytest.mark.parametrize("name", CHAPTERS)
def test_on_a_phone_fingerprints_fit_and_solutions_and_answers_open(visit, name):
    page = visit(name, width=390)
    assert page.locator("main .cell_output:has(audio) pre").evaluate_all(CUT_OFF) == []
    folds = page.locator("main details")
    assert folds.count() >= 3 + 6
    for i in range(folds.count()):
        fold = folds.nth(i)
        inside = fold.locator(":scope > :not(summary)").first
        assert not inside.is_visible()
        fold.locator(":scope > summary").click()
        assert inside.is_visible()


def test_tab_reaches_every_control_of_the_intro_whose_players_play(visit):
    page = visit("book/intro.html")
    tab_to_all(page)
    play_all(page)


def test_tab_reaches_every_control_of_the_search(visit):
    tab_to_all(visit("search.html"))


def test_a_fold_says_one_thing(visit):
    summary = visit(CHAPTERS[0]).locator("main details.hide > summary").first
    assert summary.inner_text().strip() == "Show code cell content"
    summary.click()
    assert summary.inner_text().strip() == "Hide code cell content"


def test_a_solution_opens_by_keyboard(visit):
    page = visit(CHAPTERS[0])
    page.locator("main details.hide > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("main details.hide").first.get_attribute("open") is not None


def test_arrow_keys_turn_a_dial(visit):
    page = visit(CHAPTERS[0])
    dial = page.locator("main div[id^=dial-]").first
    shown = (
        "dial => [...dial.querySelectorAll('img')]"
        ".flatMap((image, i) => image.checkVisibility() ? [i] : [])"
    )
    before = dial.evaluate(shown)
    dial.locator("input:checked").focus()
    page.keyboard.press("ArrowLeft")
    assert (before, dial.evaluate(shown)) == ([2], [1])


ABX = "notebooks/11_sound_quality.html"
TRUTH = """async quiz => {
  const bytes = async part => {
    const answer = await fetch(quiz.querySelector(`[data-part=${part}]`).src);
    return new Uint8Array(await answer.arrayBuffer()).join();
  };
  return await bytes('x') === await bytes('a') ? 'a' : 'b';
}"""


def quiz_of(page):
    quiz = page.locator("main [id^=abx-]").first
    return quiz, quiz.locator("[data-part=said]")


def test_an_abx_quiz_scores_what_was_answered(visit):
    """All right, by the sounds' bytes: the page shows no other way; then all wrong."""
    quiz, said = quiz_of(visit(ABX, width=390))
    for wrong, verdict in ((False, "8 of 8 right"), (True, "0 of 8 right")):
        drawn = []
        for trial in range(8):
            assert said.inner_text() == f"Trial {trial + 1} of 8."
            drawn.append(quiz.evaluate(TRUTH))
            quiz.locator(f"[data-part=is-{'ab'[(drawn[-1] == 'a') == wrong]}]").click()
        assert verdict in said.inner_text()
        assert ("0.39 %" if not wrong else "100 %") in said.inner_text()
        assert not quiz.locator("[data-part=x]").is_visible()
        quiz.locator("[data-part=again]").click()


def test_an_abx_quiz_draws_anew_and_does_not_tell(visit):
    """X has an address of its own in each trial, and over 24 trials both sounds are drawn (by luck
    one in 2^23).
    """
    page = visit(ABX)
    quiz, said = quiz_of(page)
    addresses, drawn = set(), set()
    for _ in range(3):
        for _ in range(8):
            addresses.add(quiz.locator("[data-part=x]").get_attribute("src"))
            drawn.add(quiz.evaluate(TRUTH))
            quiz.locator("[data-part=is-a]").focus()
            page.keyboard.press("Enter")
        page.keyboard.press("Enter")  # the focus is on "Once more"
    assert len(addresses) == 24 and all(address.startswith("blob:") for address in addresses)
    assert drawn == {"a", "b"}
    assert said.inner_text() == "Trial 1 of 8."


def test_without_scripts_an_abx_quiz_is_two_players(browser, built):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((built.html / ABX).as_uri())
    quiz, said = quiz_of(page)
    assert [quiz.locator(f"[data-part={part}]").is_visible() for part in ("a", "b", "x")] == [
        True,
        True,
        False,
    ]
    assert "plain players" in said.inner_text()
    context.close()


def test_search_finds_griffin_lim(visit):
    page = visit("search.html?q=Griffin-Lim")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    assert any("glossary.html" in link or "07_phase.html" in link for link in found)


def test_the_search_field_leads_there(visit):
    page = visit("book/intro.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Griffin-Lim")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert "search.html?q=Griffin-Lim" in page.url


def test_the_button_changes_light_and_dark(visit):
    page = visit("book/intro.html")
    seen = set()
    for _ in range(3):
        page.locator("button.theme-switch-button").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}


def test_the_page_opens_as_a_file(browser, built):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((built.html / CHAPTERS[0]).as_uri())
    page.wait_for_function(TYPESET)
    assert page.locator("mjx-container").count() > 0 and page.locator("mjx-merror").count() == 0
    page.wait_for_function("document.querySelector('audio').duration > 0")
    context.close()


def test_screenshots(visit, tmp_path_factory):
    """One of each width and mode, to be looked at in the folder BOOK_SHOTS."""
    folder = Path(os.environ.get("BOOK_SHOTS") or tmp_path_factory.mktemp("shots"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("book/intro.html", CHAPTERS[0], "book/api/controls.html"):
        for width in WIDTHS:
            for mode in MODES:
                path = folder / f"{re.sub(r'[/.]', '_', name)}_{width}_{mode}.png"
                visit(name, width, mode).screenshot(path=path, full_page=True)
                assert path.stat().st_size > 20_000
