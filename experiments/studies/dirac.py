"""Dirac-GAN: the smallest game on which GAN training methods succeed or fail (Mescheder et al., 2018).

    python -m experiments.studies.dirac                              # every method; draws docs/images/dirac.png (needs matplotlib)
    python -m experiments.studies.dirac --method r1 --json           # one method; prints {"radius": ..., "theta": ..., "psi": ...}

Real data sits at 0, G produces the point theta, D(x) = psi x. The only equilibrium is (0, 0); `radius` is the distance from it
after the last step. Losses, penalties and update rules are the library's own, in float64.

Reaches:  the radii in docs/dirac.md.
Paper:    "Which Training Methods for GANs do actually Converge?", ICML 2018.
Differs:  instance noise enters by its exact expectation (Gauss-Hermite quadrature), not by sampling.
"""

import argparse
import json
import math
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.cli import common
from gan_jax.dynamics import Field, Step, alternating_step, consensus_field, game_gradients, simultaneous_step, trajectory
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES, gradient_penalty
from gan_jax.typing import Array, Players


class Method(NamedTuple):
    """A way to play the game.

    Attributes:
        title: for the figure.
        loss: row of `ADVERSARIAL`.
        penalty: row of `PENALTIES`, or None.
        gamma: default strength: the penalty's term is gamma / 2 times it; for consensus the weight of half the field's squared norm.
        noisy, clipped, consensus: whether instance noise, weight clipping, consensus optimisation are on.
    """

    title: str
    loss: str
    penalty: str | None = None
    gamma: float = 0.0
    noisy: bool = False
    clipped: bool = False
    consensus: bool = False


METHODS = {
    "minimax": Method("minimax", "minimax"),
    "non_saturating": Method("non-saturating", "non_saturating"),
    "wasserstein_clip": Method("Wasserstein, clipping", "wasserstein", clipped=True),
    "wgan_gp": Method("WGAN-GP", "wasserstein", penalty="wgan_gp", gamma=0.7),
    "instance_noise": Method("instance noise", "minimax", noisy=True),
    "r1": Method("R1", "minimax", penalty="r1", gamma=0.3),
    "consensus": Method("consensus", "minimax", consensus=True, gamma=1.0),
    "zero_centered": Method("zero-centred on interpolates", "minimax", penalty="zero_centered", gamma=0.3),
}
QUADRATURE_NODES = 32


class Settings(NamedTuple):
    """The numbers of a game; `gamma=None` takes the method's own."""

    step_size: float = 0.2
    steps: int = 500
    start: tuple[float, float] = (1.0, 1.0)
    gamma: float | None = None
    noise: float = 0.7
    clip: float = 1.0
    target: float = 1.0
    updates: str = "simultaneous"


def make_field(name: str, settings: Settings) -> Field:
    """The gradients of both players under a method; parameters are `Players(theta [], psi [])`."""
    method = METHODS[name]
    gamma = method.gamma if settings.gamma is None else settings.gamma
    # The probabilists' nodes integrate against exp(-x^2 / 2); without noise the single node 0 has weight 1.
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES if method.noisy else 1)
    offsets, weights = settings.noise * nodes * method.noisy, weights / weights.sum()
    adversarial = ADVERSARIAL[method.loss]

    def logits(psi: Array, point: Array | float) -> Array:
        return psi * (point + jnp.asarray(offsets))

    def generator_loss(players: Players) -> Array:
        theta, psi = players
        return jnp.vdot(weights, adversarial.generator(logits(psi, theta), logits(psi, 0.0)))

    def discriminator_loss(players: Players) -> Array:
        theta, psi = players
        loss = jnp.vdot(weights, adversarial.discriminator(logits(psi, 0.0), logits(psi, theta)))
        if method.penalty is None:
            return loss
        fake = jnp.reshape(theta, (1, 1))
        arguments = (lambda points: psi * points[:, 0], jnp.zeros_like(fake), fake, jax.random.key(0))
        values = (
            gradient_penalty(*arguments, target=settings.target) if method.penalty == "wgan_gp" else PENALTIES[method.penalty](*arguments)
        )
        return loss + gamma / 2 * values.mean()

    field = game_gradients(generator_loss, discriminator_loss)
    return consensus_field(field, weight=gamma) if method.consensus else field


def make_step(name: str, settings: Settings) -> tuple[Step, Players, tuple]:
    """The method's update rule, the start and the optimiser's state there."""
    bound = settings.clip if METHODS[name].clipped else None
    optimizer = ttur(settings.step_size, settings.step_size, generator="sgd", discriminator="sgd", discriminator_bound=bound)
    rule = {"simultaneous": simultaneous_step, "alternating": alternating_step}[settings.updates]
    players = Players(*(jnp.asarray(value, float) for value in settings.start))
    return rule(make_field(name, settings), optimizer), players, optimizer.init(players)


def play(name: str, settings: Settings) -> np.ndarray:
    """Trajectory of (theta, psi), float [steps + 1, 2]."""
    step, players, opt_state = make_step(name, settings)
    path = jax.jit(lambda *start: trajectory(step, *start, steps=settings.steps))(players, opt_state)
    return np.stack(path, axis=1)


def summary(path: np.ndarray) -> dict[str, float | None]:
    """End of a trajectory; a number that has overflowed is None, JSON having no infinity."""
    theta, psi = (float(value) for value in path[-1])
    values = {"radius": math.hypot(theta, psi), "theta": theta, "psi": psi}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def draw(paths: dict[str, np.ndarray], out: pathlib.Path) -> None:
    """One panel per method: the way from the start to the end."""
    from matplotlib.figure import Figure

    columns = 4 if len(paths) > 1 else 1
    rows = -(-len(paths) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.3 * rows), layout="constrained")
    for axes, (name, path) in zip(np.ravel(figure.subplots(rows, columns, squeeze=False)), paths.items()):
        reach = 1.08 * max(float(np.nanmax(np.abs(path))), 1e-6)
        axes.plot(path[:, 0], path[:, 1], color="#3465a4", linewidth=0.8)
        axes.plot(*path[0], marker="o", color="#f57900", label="start")
        axes.plot(*path[-1], marker="s", color="#cc0000", label="end")
        axes.plot(0, 0, marker="+", color="black", markersize=10, label="equilibrium")
        axes.set(
            title=METHODS[name].title, xlim=(-reach, reach), ylim=(-reach, reach), xlabel="theta (G)", ylabel="psi (D)", aspect="equal"
        )
    figure.axes[0].legend(loc="lower left", fontsize=7)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, Settings]:
    """Flags; anything out of range ends with one line that names the flag."""
    defaults = Settings()
    parser = common.argument_parser(__doc__)
    parser.add_argument("--method", choices=METHODS, help="play one method (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object (with --method) and draw nothing")
    parser.add_argument(
        "--rows",
        type=pathlib.Path,
        help="a file of JSON lines to which the ends are added, e.g. docs/data/dirac.jsonl; no figure is drawn without --out",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=None,
        help="file of the figure, which needs matplotlib (default: docs/images/dirac.png, all methods)",
    )
    parser.add_argument("--step-size", type=float, default=defaults.step_size)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--start", type=float, nargs=2, metavar=("THETA", "PSI"), default=defaults.start)
    parser.add_argument("--gamma", type=float, default=None, help="penalty: its term is gamma/2 times it; consensus: its weight")
    parser.add_argument("--noise", type=float, default=defaults.noise, help="standard deviation of the instance noise")
    parser.add_argument("--clip", type=float, default=defaults.clip, help="bound on |psi| of wasserstein_clip")
    parser.add_argument("--target", type=float, default=defaults.target, help="norm that wgan_gp aims at")
    parser.add_argument("--updates", choices=("simultaneous", "alternating"), default=defaults.updates, help="alternating: G first")
    flags = parser.parse_args(arguments)
    if flags.json and flags.method is None:
        common.fail("--json needs --method")
    if flags.json and flags.rows is not None:
        common.fail("--json: goes without --rows")
    for name, allowed, expected in [
        ("step_size", flags.step_size > 0, "positive"),
        ("steps", flags.steps >= 1, "at least 1"),
        ("gamma", flags.gamma is None or flags.gamma >= 0, "not negative"),
        ("noise", flags.noise >= 0, "not negative"),
        ("clip", flags.clip > 0, "positive"),
        ("target", flags.target >= 0, "not negative"),
    ]:
        if not allowed:
            common.fail(f"--{name.replace('_', '-')} {getattr(flags, name)}: must be {expected}")
    return flags, Settings(**{name: getattr(flags, name) for name in Settings._fields} | {"start": tuple(flags.start)})


def main(arguments: list[str] | None = None) -> None:
    flags, settings = parse(arguments)
    out = flags.out
    if out is None and flags.method is None and flags.rows is None:
        out = pathlib.Path(__file__).resolve().parents[2] / "docs" / "images" / "dirac.png"
    if out is not None and not flags.json:
        common.need_matplotlib(f"--out {flags.out}" if flags.out else "the figure")
    names = [flags.method] if flags.method else list(METHODS)
    with jax.enable_x64(True):
        paths = {name: play(name, settings) for name in names}
    if flags.json:
        print(json.dumps(summary(paths[flags.method])))
        return
    if flags.rows is not None:
        with common.errors_as_lines():
            common.append_rows(flags.rows, ({"method": name, **settings._asdict(), **summary(path)} for name, path in paths.items()))
    for name, path in paths.items():
        end = summary(path)
        print(
            f"{name:18} radius {end['radius']:.3e}  theta {end['theta']:+.3e}  psi {end['psi']:+.3e}"
            if None not in end.values()
            else f"{name:18} overflowed"
        )
    if out is not None:
        draw(paths, out)


if __name__ == "__main__":
    main()
