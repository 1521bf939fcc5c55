"""The theatre in a real browser: Playwright and a chromium. Skipped without them (`pip install playwright`, `apt-get install chromium`)."""

import functools

import numpy as np
import pytest

from gan_jax.trainer.theatre.encoding import encode_points, encode_surface
from gan_jax.trainer.theatre.page import write_theatre
from gan_jax.trainer.theatre.record import bounds_of
from support.browser import needs_chromium, visits
from support.fake_theatre import fake_plays, ring

pytestmark = needs_chromium
FRAMES = 12


@pytest.fixture(scope="module")
def plays():
    return fake_plays(("hinge", "R3GAN", "non-saturating + R1"), frames=FRAMES)


@pytest.fixture(scope="module")
def path(plays, tmp_path_factory):
    file = tmp_path_factory.mktemp("theatre") / "theatre.html"
    write_theatre(file, plays, ring(), seed=0, command="gan-jax theatre", evidence="evidence.md")
    return file


@pytest.fixture
def visit(browser, path):
    """Opens the page with some options. At the end only the page itself must have been requested, with no message on the console."""
    with visits(browser, lambda page: page.evaluate("theatre.ready")) as open_page:
        yield functools.partial(open_page, path)


def picture(page, selector="[data-game='0'] canvas"):
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def test_decoded_frames_are_numpy_s(visit, plays):
    page = visit()
    for number, play in enumerate(plays):
        fakes, surface = page.evaluate(f"[Array.from(theatre.games[{number}].fakes), Array.from(theatre.games[{number}].surface)]")
        assert fakes == encode_points(play.recording.fakes, bounds_of(ring())).ravel().tolist()
        assert surface == encode_surface(play.recording.surface)[0].ravel().tolist()


def test_the_slider_changes_every_panel(visit):
    page = visit()
    before = [picture(page, f"[data-game='{number}'] canvas") for number in range(3)]
    page.fill("#frame", "4")
    assert all(picture(page, f"[data-game='{number}'] canvas") != old for number, old in enumerate(before))
    assert page.inner_text("#step") == "40"
    assert page.get_attribute("#frame", "aria-valuetext") == "step 40"
    assert page.inner_text("[data-game='0'] .modes") == "4 of 8"
    assert "at step 40: 4 of 8 modes found" in page.get_attribute("[data-game='0'] canvas", "aria-label")
    page.fill("#frame", "5")
    assert page.inner_text("[data-game='0'] .range") == "not finite"


def test_keys_move_and_play(visit):
    page = visit()
    frame = lambda: int(page.input_value("#frame"))  # noqa: E731
    page.focus("#stage")
    last = picture(page)
    for key, expected in (
        ("ArrowLeft", FRAMES - 2),
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowLeft", 0),
        ("ArrowLeft", 0),
        ("End", FRAMES - 1),
    ):
        page.keyboard.press(key)
        assert frame() == expected
    assert picture(page) == last
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    while frame() < 3:
        page.wait_for_timeout(20)
    page.keyboard.press("Space")
    stopped = frame()
    page.wait_for_timeout(250)
    assert frame() == stopped
    page.focus("#frame")
    page.keyboard.press("Home")
    assert page.inner_text("#step") == "0"


def test_every_control_is_reached_by_tab(visit):
    page = visit()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [name for name in reached if name in {"play", "frame", "show-surface", "show-field", "show-reals", "show-fakes", "stage"}] == [
        "play",
        "frame",
        "show-surface",
        "show-field",
        "show-reals",
        "show-fakes",
        "stage",
    ]


@pytest.mark.parametrize("name", ["surface", "field", "reals", "fakes"])
def test_each_layer_can_be_shown_and_hidden(visit, name):
    page = visit()
    before = picture(page)
    page.click(f"#show-{name}")
    changed = picture(page)
    assert changed != before
    page.click(f"#show-{name}")
    assert picture(page) == before


def test_arrows_point_where_d_rises(visit):
    """The first surface rises to the right only, so its arrows are horizontal."""
    page = visit()
    page.fill("#frame", "0")
    for name in ("surface", "reals", "fakes"):
        page.click(f"#show-{name}")
    page.click("#show-field")
    found = page.eval_on_selector(
        "[data-game='0'] canvas",
        """canvas => { const {data, width, height} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          const rows = new Set(), columns = new Set();
          for (let at = 0; at < width * height; at += 1) {
            if (data[4 * at + 3] > 40) { rows.add(Math.floor(at / width)); columns.add(at % width); }
          }
          return [rows.size / height, columns.size / width]; }""",
    )
    assert found[0] < 0.5 < found[1]


def test_reduced_motion_plays_slowly(visit):
    page = visit(reduced_motion="reduce")
    page.fill("#frame", "0")
    page.click("#play")
    page.wait_for_timeout(700)
    assert int(page.input_value("#frame")) == 1


def test_the_theme_changes_the_panels(visit):
    page = visit(color_scheme="light")
    light = [picture(page), picture(page, "[data-dirac='0'] canvas")]
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(50)
    assert all(new != old for new, old in zip([picture(page), picture(page, "[data-dirac='0'] canvas")], light, strict=True))


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_contrast(visit, scheme):
    """WCAG 2.2: 4.5 for text, 3 for marks and borders."""
    page = visit(color_scheme=scheme)
    colour = lambda name: page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")  # noqa: E731
    for ground in ("paper", "panel"):
        assert all(contrast(colour(text), colour(ground)) >= 4.5 for text in ("text", "soft", "link"))
        assert all(contrast(colour(mark), colour(ground)) >= 3 for mark in ("generator", "discriminator", "line", "focus"))
    assert contrast(colour("text"), colour("notice-panel")) >= 4.5
    for ground in ("low", "middle", "high"):
        assert all(contrast(colour(mark), colour(ground)) >= 3 for mark in ("fake", "real", "arrow"))


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")])
def test_nothing_scrolls_sideways(visit, width, scheme):
    page = visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('canvas')].every(canvas => canvas.width > 100)")
