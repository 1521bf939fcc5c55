"""The Dirac-GAN: trajectories against hand-derived fields, convergence against theory, rates against eigenvalues."""

import json
import math
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import dirac
from gan_jax.dynamics import spectral_radius, step_eigenvalues, trajectory
from support.scripts import assert_one_line

ROOT = pathlib.Path(__file__).parents[2]

CONVERGE = {"instance_noise", "r1", "consensus", "zero_centered"}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def field_by_hand(name, theta, psi):
    """(d L_G / d theta, d L_D / d psi), derived on paper from Mescheder et al., 2018, section 2 and its appendix."""
    if name in {"wasserstein_clip", "wgan_gp"}:
        penalty = 0.7 * (abs(psi) - 1) * np.sign(psi) if name == "wgan_gp" else 0.0
        return -psi, theta + penalty
    discriminator = theta * sigmoid(psi * theta)
    if name in {"r1", "zero_centered"}:
        discriminator += 0.3 * psi
    generator = -psi * (sigmoid(-psi * theta) if name == "non_saturating" else sigmoid(psi * theta))
    return generator, discriminator


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
@pytest.mark.parametrize("name", ["minimax", "non_saturating", "wasserstein_clip", "wgan_gp", "r1", "zero_centered"])
def test_trajectories_equal_the_fields_derived_by_hand(name, updates):
    theta, psi = 1.0, 1.0
    expected = [(theta, psi)]
    for _ in range(60):
        generator, discriminator = field_by_hand(name, theta, psi)
        theta -= 0.2 * generator
        if updates == "alternating":
            discriminator = field_by_hand(name, theta, psi)[1]
        psi -= 0.2 * discriminator
        if name == "wasserstein_clip":
            psi = min(max(psi, -1.0), 1.0)
        expected.append((theta, psi))
    with jax.enable_x64(True):
        path = dirac.trajectory_of(name, dirac.Settings(steps=60, updates=updates))
    np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
@pytest.mark.parametrize("name", sorted(dirac.METHODS))
def test_who_converges_agrees_with_the_theory(name, updates):
    with jax.enable_x64(True):
        path = dirac.trajectory_of(name, dirac.Settings(steps=2000, updates=updates))
    radius = np.hypot(*path.T)
    if name in CONVERGE:
        assert radius[500] < 1e-3
        assert radius[-1] < 1e-12
    else:
        # No convergence. 0.02 is a fiftieth of the start: the saturating effects of the non-saturating game
        # shrink its circle, ever more slowly, and a limit cycle remains under simultaneous updates.
        assert radius.min() > 0.02
        assert radius[-500:].max() > 0.1


# Eigenvalues of the gradient field's Jacobian at (0, 0), from the paper with f'(0) = 1/2 and f''(0) = -1/4 (1 and 0 for
# Wasserstein): minimax +-i f'; R1 -g/2 +- sqrt(g^2/4 - f'^2); instance noise f'' s^2 +-
# sqrt(f''^2 s^4 - f'^2); consensus -g f'^2 +- i f'. A simultaneous step of size h has 1 + h lambda.
THEORY = {
    "minimax": 0.5j,
    "non_saturating": 0.5j,
    "wasserstein_clip": 1j,
    "r1": -0.15 + 1j * math.sqrt(0.25 - 0.15**2),
    "zero_centered": -0.15 + 1j * math.sqrt(0.25 - 0.15**2),
    "instance_noise": -0.25 * 0.49 + 1j * math.sqrt(0.25 - (0.25 * 0.49) ** 2),
    "consensus": -0.25 + 0.5j,
}


def test_rates_of_the_page_are_those_of_the_theory():
    for name, method in dirac.METHODS.items():
        assert method.eigenvalue == (pytest.approx(THEORY[name]) if name in THEORY else None)


def at_equilibrium(name, settings, rule=None):
    step, players, opt_state = dirac.make_step(name, settings, rule)
    return step, jax.tree.map(jnp.zeros_like, players), opt_state


@pytest.mark.parametrize("name", sorted(THEORY))
def test_eigenvalues_of_the_update_equal_the_papers(name):
    with jax.enable_x64(True):
        eigenvalues = step_eigenvalues(*at_equilibrium(name, dirac.Settings()), difference=1e-5)
    expected = 1 + 0.2 * np.asarray([THEORY[name].conjugate(), THEORY[name]])
    np.testing.assert_allclose(sorted(eigenvalues, key=np.imag), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["minimax", "wasserstein_clip"])
def test_alternating_updates_without_regularisation_turn_on_the_unit_circle(name):
    with jax.enable_x64(True):
        eigenvalues = step_eigenvalues(*at_equilibrium(name, dirac.Settings(updates="alternating")), difference=1e-5)
    np.testing.assert_allclose(np.abs(eigenvalues), 1.0, rtol=1e-12)
    assert np.abs(np.imag(eigenvalues)).min() > 0.05


@pytest.mark.parametrize("updates", ["simultaneous", "alternating"])
@pytest.mark.parametrize("name", sorted(CONVERGE))
def test_local_rate_is_the_spectral_radius_of_the_update(name, updates):
    settings = dirac.Settings(start=(1e-3, 1e-3), steps=600, updates=updates)
    with jax.enable_x64(True):
        radius = np.hypot(*dirac.trajectory_of(name, settings).T)
        expected = spectral_radius(*at_equilibrium(name, settings), difference=1e-5)
    assert expected < 1
    # The slope of log radius over many turns; what the rotation adds averages out.
    slope = np.polyfit(np.arange(600), np.log(radius[:600]), 1)[0]
    np.testing.assert_allclose(np.exp(slope), expected, atol=3e-4)


def test_stronger_penalty_converges_faster_until_critical_damping():
    # |1 + h lambda| of R1 falls until gamma = 2 f' = 1, where the square root vanishes.
    with jax.enable_x64(True):
        radii = [
            spectral_radius(*at_equilibrium("r1", dirac.Settings(gamma=gamma)), difference=1e-5) for gamma in (0.0, 0.3, 0.9, 1.0, 2.0)
        ]
    assert radii[0] > 1
    assert radii[1] > radii[2] > radii[3]
    assert radii[4] > radii[3]
    np.testing.assert_allclose(radii[3], 0.9, atol=1e-6)


def test_extragradient_converges_on_the_bilinear_game():
    # The Wasserstein Dirac-GAN is bilinear. One step is I - h A + h^2 A^2, A = [[0, 1], [-1, 0]]: modulus^2 = (1 - h^2)^2 + h^2.
    # The clipping bound of 10 is never reached.
    settings = dirac.Settings(step_size=0.3, clip=10.0, start=(1.0, 1.0))
    expected = math.sqrt((1 - 0.09) ** 2 + 0.09)
    with jax.enable_x64(True):
        for rule, radius in (("extragradient", expected), ("simultaneous", math.sqrt(1.09))):
            found = spectral_radius(*at_equilibrium("wasserstein_clip", settings, rule), difference=1e-5)
            np.testing.assert_allclose(found, radius, rtol=1e-9)
        path = trajectory(*dirac.make_step("wasserstein_clip", settings, "extragradient"), steps=20)
    radius = np.hypot(path.generator["theta"], path.discriminator["psi"])
    assert radius.shape == (21,)
    np.testing.assert_allclose(radius[20], math.sqrt(2) * expected**20, rtol=1e-9)


def test_command_line_prints_one_json_object():
    words = ["--method", "r1", "--json", "--steps", "3", "--start", "0.5", "-0.25", "--step-size", "0.1", "--gamma", "1.0"]
    command = [sys.executable, "-m", "experiments.studies.dirac", *words]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout
    result = json.loads(output)
    theta, psi = 0.5, -0.25
    for _ in range(3):
        theta, psi = theta + 0.1 * psi * sigmoid(psi * theta), psi - 0.1 * (theta * sigmoid(psi * theta) + psi)
    assert set(result) == {"radius", "theta", "psi"}
    np.testing.assert_allclose([result["theta"], result["psi"], result["radius"]], [theta, psi, math.hypot(theta, psi)], rtol=1e-12)


def test_overflow_is_null_not_invalid_json():
    assert dirac.summary(np.asarray([[np.inf, 1.0]])) == {"radius": None, "theta": None, "psi": 1.0}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--step-size", "0"], "--step-size 0.0: must be positive"),
        (["--steps", "0"], "--steps 0: must be at least 1"),
        (["--gamma", "-1"], "--gamma -1.0: must be not negative"),
        (["--clip", "0"], "--clip 0.0: must be positive"),
        (["--json"], "--json needs --method"),
        (["--method", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_bad_flags_are_named(script, flags, message):
    assert_one_line(script("dirac", *flags), message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "the figure needs matplotlib: pip install matplotlib"),
        (["--method", "r1", "--out", "r1.png"], "--out r1.png needs matplotlib: pip install matplotlib"),
    ],
)
def test_without_matplotlib_no_figure_is_computed(script, monkeypatch, tmp_path, flags, message):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = script("dirac", *flags)
    assert_one_line(result, message)
    assert result[1] == ""
    assert list(tmp_path.iterdir()) == []


def test_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "dirac.png"
    dirac.draw({name: np.random.default_rng(0).normal(size=(5, 2)) for name in dirac.METHODS}, out)
    assert out.read_bytes()[:4] == b"\x89PNG"


def test_committed_rows_are_what_the_methods_reach():
    rows = [json.loads(line) for line in (ROOT / "docs" / "data" / "dirac.jsonl").read_text().splitlines()]
    assert len({(row["method"], row["updates"]) for row in rows}) == len(rows) == 2 * len(dirac.METHODS)
    for row in rows:
        settings = dirac.Settings(**{name: row[name] for name in dirac.Settings._fields})
        with jax.enable_x64(True):
            end = dirac.summary(dirac.trajectory_of(row["method"], settings))
        np.testing.assert_allclose(end["radius"], row["radius"], rtol=1e-9)


def test_rows_are_added_to_a_file(script, tmp_path):
    for _ in range(2):
        assert script("dirac", "--method", "r1", "--steps", "3", "--rows", "new/rows.jsonl")[0] == 0
    first, second = (tmp_path / "new" / "rows.jsonl").read_text().splitlines()
    assert first == second
    assert not jax.config.jax_enable_x64  # not left on for whoever calls it
    assert json.loads(first).keys() >= {"method", "updates", "steps", "radius"}
