"""The recordings are those of the library's own training, and the page holds them."""

import base64
import dataclasses
import json
import re
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.cli import main as command
from gan_jax.data import load_source
from gan_jax.data.batches import Batches
from gan_jax.trainer.build.gan import build
from gan_jax.trainer.config import ConfigError, ModelConfig, check
from gan_jax.trainer.surface import grid_points
from gan_jax.trainer.theatre import encoding
from gan_jax.trainer.theatre.dirac import portrait
from gan_jax.trainer.theatre.games import BASE, GAMES, game_config
from gan_jax.trainer.theatre.page import LARGEST_FILE, write_theatre
from gan_jax.trainer.theatre.record import bounds_of, frame_steps, record_game
from support.fake_theatre import fake_plays, ring
from support.scripts import ROOT, assert_one_line

OPTIONS = {"generator_hidden": "8", "discriminator_hidden": "8", "activation": "leaky_relu"}
SMALL = dataclasses.replace(BASE, steps=13, batch_size=8, model=ModelConfig(name="points", latent_dim=2, options=OPTIONS))


@pytest.fixture(scope="module")
def packed():
    game = game_config("hinge + PacGAN", SMALL)
    return game, record_game(game, load_source("ring"), seed=3, frames=4, points=16, side=6)


# ---- games


def test_names_change_the_common_configuration():
    first = game_config("non-saturating", BASE)
    added = game_config("+R1", BASE, [first])
    assert (added.name, added.config.penalty.r1) == ("non-saturating + R1", 5e-3)
    again = game_config("+pacgan", BASE, [first, added])
    assert (again.name, again.config.penalty.r1, again.config.augment.pack) == ("non-saturating + PacGAN", 0.0, 2)
    both = game_config("hinge + spectral-norm", BASE)
    assert (both.config.loss.name, both.config.transform.spectral_norm) == ("hinge", "discriminator")
    assert game_config("WGAN-gp", BASE).config.loss.name == "wasserstein"


@pytest.mark.parametrize("name", GAMES)
def test_every_game_can_be_built(name):
    build(check(game_config(name, BASE).config), (2,), 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hinges", r"--games hinges: no game 'hinges' \(did you mean hinge\?\); must be one of non-saturating, "),
        ("", "name one first"),
        ("+R1", "adds to the game before it, but there is none"),
        ("hinge + xyzzy", "no game 'xyzzy'; must be one of"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        game_config(name, BASE)


# ---- recordings


def test_frames_are_those_of_a_plain_loop(packed):
    game, recording = packed
    config = dataclasses.replace(game.config, seed=3)
    source = load_source("ring")
    built, key = build(config, (2,), 0), jax.random.key(3)
    params, state = built.gan.init(key)
    order = Batches(source, config.batch_size * built.rule.batches_per_step, 3)
    step = jax.jit(built.gan.train_step)
    losses = []
    for number in range(config.steps):
        params, state, metrics = step(params, state, {"image": jnp.asarray(source.images[order.indices_at(number)[0]])}, key)
        losses.append(float(metrics["generator_loss"]))
    assert recording.steps.tolist() == [0, 3, 7, 13]
    samples = np.asarray(built.gan.sample(params, state, key, 2500))[:16]
    np.testing.assert_allclose(recording.fakes[-1], samples, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(recording.losses["generator_loss"], losses, rtol=1e-4)
    # Row 1, column 4 of the surface is D at that point. Its packs have two equal points.
    x, y = (index * 2 + 1 - 6 for index in (4, 1))
    point = np.array([[x, y, x, y]], np.float32) * bounds_of(source) / 6
    logits = built.spec.discriminator.apply(params.discriminator, state.networks.discriminator, point, None, None, rng=key, train=False)[0]
    np.testing.assert_allclose(recording.surface[-1, 1, 4], logits.logits[0], rtol=1e-4, atol=1e-6)


def test_only_points_with_known_modes_are_shown():
    with pytest.raises(ConfigError, match="points in the plane with known modes"):
        record_game(game_config("hinge", SMALL), load_source("mnist5k"))


def test_frames_begin_and_end_with_the_run():
    assert frame_steps(3000, 60)[[0, 1, -1]].tolist() == [0, 7, 3000]
    assert frame_steps(4, 60).tolist() == [0, 1, 2, 3, 4]
    assert (np.diff(frame_steps(3000, 60)) > 0).all()


def test_the_grid_has_the_centres_of_cells():
    np.testing.assert_allclose(grid_points(1.0, 2), [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    assert bounds_of(load_source("ring")) == 1.2
    assert bounds_of(load_source("grid")) == 4.8


# ---- the Dirac-GAN


# The rates of Mescheder et al., 2018: |1 + h lambda| a step, with lambda = i / 2 and, for R1 with gamma = 0.3,
# -0.15 + i sqrt(0.25 - 0.15^2), as in experiments/studies/dirac.py.
@pytest.mark.parametrize(("game", "eigenvalue"), [("minimax", 0.5j), ("R1", -0.15 + 1j * np.sqrt(0.25 - 0.15**2))])
def test_portraits_move_at_the_rates_of_theory(game, eigenvalue):
    found = portrait(game_config(f"minimax + {game} + simultaneous", BASE).config)
    factor = abs(1 + 0.2 * eigenvalue)
    if game == "R1":
        radius = np.hypot(*found.path.T)
        assert (radius[200] / radius[100]) ** (1 / 100) == pytest.approx(factor, rel=2e-3)
    # Near the equilibrium a step is linear: the arrow at the origin is 0, and the eigenvalues of the arrows beside it are the theory's.
    middle, spacing = len(found.arrows) // 2, 4.0 / (len(found.arrows) - 1)
    assert found.arrows[middle, middle].tolist() == [0, 0]
    jacobian = np.stack([found.arrows[middle, middle + 1], found.arrows[middle + 1, middle]], axis=1) / spacing
    assert abs(1 + np.linalg.eigvals(jacobian)).max() == pytest.approx(factor, rel=2e-2)


@pytest.mark.parametrize("game", ["R3GAN", "WGAN-GP", "WGAN", "unrolled", "extragradient", "PacGAN", "consensus"])
def test_every_kind_of_game_has_a_portrait(game):
    found = portrait(game_config(game, BASE).config)
    assert found.path.shape == (201, 2)
    assert found.path[0].tolist() == [1, 1]
    assert np.isfinite(found.path).all()
    if game in ("R3GAN", "extragradient"):
        assert np.hypot(*found.path[-1]) < 0.3


# ---- the page


def decoded(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def test_coordinates_have_a_thousand_levels():
    codes = encoding.encode_points(np.array([[-2.0, 2.0], [0.0, np.nan], [9.0, -np.inf]]), 2.0)
    assert codes.tolist() == [[0, 1022], [511, 1023], [1022, 1023]]
    low, high = decoded(encoding.pack_points(codes)).reshape(2, -1).astype(int)
    assert (low + 256 * high).tolist() == codes.ravel().tolist()


def test_surfaces_are_differences_of_frames():
    surface = np.array([[[1.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]], [[0.0, np.nan], [0.0, 0.0]], [[0.0, -1.0], [1.0, 0.0]]])
    codes, ranges = encoding.encode_surface(surface)
    assert codes.reshape(4, 4).tolist() == [[0, 255, 128, 0], [0] * 4, [0] * 4, [128, 0, 255, 128]]
    assert ranges == [[1.0, 3.0], [5.0, 5.0], None, [-1.0, 1.0]]
    differences = decoded(encoding.pack_surface(codes)).reshape(codes.shape)
    assert (np.cumsum(differences, axis=0, dtype=np.uint8) == codes).all()


def test_the_page_is_one_file_without_addresses(tmp_path):
    shown = write_theatre(tmp_path / "theatre.html", fake_plays(), ring(), seed=7, command="gan-jax theatre", evidence="evidence.md")
    text = (tmp_path / "theatre.html").read_text()
    assert shown == 12
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|url\(", text)
    assert 'href="evidence.md"' in text
    assert "An illustration of one seed" in text
    assert "seed&nbsp;7" in text
    assert [path.name for path in tmp_path.iterdir()] == ["theatre.html"]
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["games"][0]["quality"][-1] == 0.9
    assert data["games"][1]["ranges"][5] is None


def test_the_example_of_the_documentation_is_small():
    example = ROOT / "docs" / "examples" / "theatre.html"
    assert example.stat().st_size < LARGEST_FILE
    assert 'href="../evidence.md"' in example.read_text()


def test_frames_are_left_out_until_the_page_fits(tmp_path):
    plays = fake_plays(frames=40, points=400)
    shown = write_theatre(tmp_path / "a.html", plays, ring(), seed=0, command="x", limit=100_000)
    assert 8 <= shown < 40
    assert (tmp_path / "a.html").stat().st_size <= 100_000 < LARGEST_FILE
    with pytest.raises(ValueError, match=r"2 games take [\d,]+ bytes with 8 frames; at most 20,000: show fewer games or points"):
        write_theatre(tmp_path / "b.html", plays, ring(), seed=0, command="x", limit=20_000)
    assert not (tmp_path / "b.html").exists()


def test_games_of_different_lengths_do_not_share_a_slider(tmp_path):
    with pytest.raises(ValueError, match="the same steps"):
        write_theatre(tmp_path / "a.html", fake_plays()[:1] + fake_plays(frames=9), ring(), seed=0, command="x")


def test_names_stay_text(tmp_path):
    evil = "</script><script>alert(1)</script>"
    (play,) = fake_plays(("hinge",))
    play = play._replace(flags=evil, recording=play.recording._replace(game=play.recording.game._replace(name=evil)))
    write_theatre(tmp_path / "a.html", [play], ring(), seed=0, command=evil, evidence='"><script>')
    assert (tmp_path / "a.html").read_text().count("<script") == 2


# ---- the command


def run(capsys, *words):
    status = 0
    try:
        status = command.main(["theatre", *words])
    except SystemExit as end:
        status = end.code or 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--games", "hinges"], "--games hinges: no game 'hinges' (did you mean hinge?)"),
        (["--games", "+R1"], "adds to the game before it"),
        (["--games", "hinge --steps 7"], "use --steps, --seed and --data"),
        (["--games", "hinge --penalty.r1 -1"], "--penalty.r1 -1"),
        (["--frames", "3"], "--frames 3: must be between 8 and 400"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--games", "hinge", "--config", "x"], "--config: not a flag of this command"),
        (["--out", "."], "--out .: is a directory"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(capsys, words, message):
    assert_one_line(run(capsys, *words), message)


def test_the_command_writes_a_page(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--steps", "12", "--frames", "8", "--points", "16", "--resolution", "8", "--compilation-cache", "none", "--batch-size", "8"]
    small += ["--model.options.generator_hidden", "8", "--model.options.discriminator_hidden", "8"]
    small += ["--games", "hinge", "non-saturating --penalty.r1 0.01", "--no-dirac", "--out", str(tmp_path / "page.html")]
    status, out, _ = run(capsys, *small)
    assert status == 0
    assert re.fullmatch(r".*page\.html \(\d+ frames, \d+ kB; open it in a browser\)\n", out)
    text = (tmp_path / "page.html").read_text()
    assert "--penalty.r1 0.01" in text
    assert "--loss.name hinge" in text
    assert str(tmp_path) not in text
