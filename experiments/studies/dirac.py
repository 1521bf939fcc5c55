"""Dirac-GAN: the smallest GAN on which training methods converge or fail (Mescheder et al., 2018).

    python -m experiments.studies.dirac                              # all methods, writes docs/images/dirac.png (needs matplotlib)
    python -m experiments.studies.dirac --method r1 --json           # one method, prints {"radius": ..., "theta": ..., "psi": ...}
    python -m experiments.studies.dirac --rows docs/data/dirac.jsonl # adds the rows of docs/dirac.md

The real data is the point 0, G produces the point theta, and D(x) = psi x. The only equilibrium is (0, 0). `radius` is the distance
from it after the last step. Everything is the library's own in float64: losses, penalties, update rules, and the train step.

Reaches:  The radii in docs/dirac.md.
Paper:    "Which Training Methods for GANs do actually Converge?", ICML 2018.
Differs:  Instance noise enters by its exact expectation (Gauss-Hermite quadrature) and is not sampled.
"""

import argparse
import json
import math
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from docs._generate.tables import table
from experiments.rows import append_rows, command_of, need_matplotlib, origin
from gan_jax import make_gan
from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.dynamics import Step, trajectory
from gan_jax.gan.types import GradientPenalty
from gan_jax.gan.update_rules import UPDATE_RULES
from gan_jax.losses import ADVERSARIAL
from gan_jax.optimizers import ttur
from gan_jax.penalties import PENALTIES, gradient_penalty
from gan_jax.typing import AdversarialLoss, Array, DiscriminatorOutput, GeneratorOutput, Network, Players


class Method(NamedTuple):
    """A training method.

    Attributes:
        title: Title in the figure.
        about: Comment in the table of docs/dirac.md.
        loss: Row of `ADVERSARIAL`.
        penalty: Row of `PENALTIES`, or None.
        gamma: Default strength. The penalty enters as gamma / 2 times its value. For consensus it is the weight of half the squared
            norm of the gradient field.
        noisy, clipped, consensus: Whether instance noise, weight clipping, or consensus optimisation is on.
        eigenvalue: Eigenvalue of the gradient field's Jacobian at the equilibrium for the default strength, from the paper. None if
            the field has no derivative there. A simultaneous step of size h has the factor |1 + h eigenvalue|.
    """

    title: str
    about: str
    loss: str
    penalty: str | None = None
    gamma: float = 0.0
    noisy: bool = False
    clipped: bool = False
    consensus: bool = False
    eigenvalue: complex | None = None


NOISE = 0.7  # default standard deviation of the instance noise
# With f'(0) = 1/2 and f''(0) = -1/4: minimax i f', R1 -g/2 + sqrt(g^2/4 - f'^2), instance noise f'' s^2 + sqrt(f''^2 s^4 - f'^2),
# consensus -g f'^2 + i f'. For Wasserstein f' is 1.
_R1 = -0.15 + 1j * math.sqrt(0.25 - 0.15**2)
_NOISE = -0.25 * NOISE**2 + 1j * math.sqrt(0.25 - (0.25 * NOISE**2) ** 2)
METHODS = {
    "minimax": Method("minimax", "spirals outward (alternating: circles)", "minimax", eigenvalue=0.5j),
    "non_saturating": Method(
        "non-saturating", "ends in a circle (alternating: approaches ever more slowly)", "non_saturating", eigenvalue=0.5j
    ),
    "wasserstein_clip": Method("Wasserstein, clipping", "circles along the clipping bound", "wasserstein", clipped=True, eigenvalue=1j),
    "wgan_gp": Method("WGAN-GP", "circles", "wasserstein", penalty="wgan_gp", gamma=0.7),
    "instance_noise": Method("instance noise", "converges", "minimax", noisy=True, eigenvalue=_NOISE),
    "r1": Method("R1", "converges", "minimax", penalty="r1", gamma=0.3, eigenvalue=_R1),
    "consensus": Method("consensus", "converges", "minimax", consensus=True, gamma=1.0, eigenvalue=-0.25 + 0.5j),
    "zero_centered": Method(
        "zero-centred on interpolates", "converges and equals R1, because D is linear", "minimax", "zero_centered", 0.3, eigenvalue=_R1
    ),
}
QUADRATURE_NODES = 32
UPDATES = ("simultaneous", "alternating")


class Settings(NamedTuple):
    """The numbers of a run. `gamma=None` selects the default of the method."""

    step_size: float = 0.2
    steps: int = 500
    start: tuple[float, float] = (1.0, 1.0)
    gamma: float | None = None
    noise: float = NOISE
    clip: float = 1.0
    target: float = 1.0
    updates: str = "simultaneous"


def networks(start: tuple[float, float], offsets: Array) -> tuple[Network, Network]:
    """G, which puts theta beside every node of the quadrature, and D(x) = psi x. Their parameters are scalars."""

    def generate(params: Any, state: Any, latents: Array, labels: Any = None, context: Any = None, **keywords: Any) -> tuple:
        points = params["theta"] + (offsets if len(latents) == len(offsets) else jnp.zeros(len(latents)))
        return GeneratorOutput(points[:, None]), state

    def discriminate(params: Any, state: Any, points: Array, labels: Any = None, context: Any = None, **keywords: Any) -> tuple:
        return DiscriminatorOutput(params["psi"] * points[:, 0]), state

    theta, psi = (jnp.asarray(value, float) for value in start)
    return Network(lambda *inputs: ({"theta": theta}, ()), generate), Network(lambda *inputs: ({"psi": psi}, ()), discriminate)


def weighted(loss: AdversarialLoss, weights: Array) -> AdversarialLoss:
    """A loss whose mean over the batch is the quadrature, with one weight per node. The weights have the mean 1."""

    def weigh(function: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *arguments, **keywords: weights * function(*arguments, **keywords)

    return loss._replace(discriminator=weigh(loss.discriminator), generator=weigh(loss.generator))


def make_step(name: str, settings: Settings, rule: str | None = None) -> tuple[Step, Players, Any]:
    """The train step of a method, and the parameters and the state at its start. `rule` replaces the update rule of the settings."""
    method = METHODS[name]
    gamma = method.gamma if settings.gamma is None else settings.gamma
    # The probabilists' nodes integrate against exp(-x^2 / 2). Without noise the single node 0 has weight 1.
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES if method.noisy else 1)
    offsets = jnp.asarray(settings.noise * nodes * method.noisy)
    penalties: tuple[GradientPenalty, ...] = ()
    if method.penalty is not None:
        function = PENALTIES[method.penalty]
        function = partial(gradient_penalty, target=settings.target) if method.penalty == "wgan_gp" else function
        penalties = (GradientPenalty(method.penalty, function, gamma / 2),)
    rule = rule or ("consensus" if method.consensus else settings.updates)
    options = {"consensus": {"consensus_weight": gamma}, "alternating": {"order": "generator_first"}}.get(rule, {})
    bound = settings.clip if method.clipped else None
    gan = make_gan(
        *networks(settings.start, offsets),
        image_shape=(1,),
        latent_dim=1,
        loss=weighted(ADVERSARIAL[method.loss], jnp.asarray(weights / weights.mean())),
        penalties=penalties,
        optimizer=ttur(settings.step_size, settings.step_size, generator="sgd", discriminator="sgd", discriminator_bound=bound),
        update_rule=UPDATE_RULES[rule](**options),
    )
    batch, rng = {"image": offsets[:, None]}, jax.random.key(0)

    def step(players: Players, opt_state: Any) -> tuple[Players, Any]:
        return gan.train_step(players, opt_state, batch, rng)[:2]

    return one_player_at_a_time(step) if method.consensus and settings.updates == "alternating" else step, *gan.init(rng)


def one_player_at_a_time(step: Step) -> Step:
    """Makes alternating updates of a simultaneous step, G first. The library's consensus rule has no alternating form."""

    def alternating(players: Players, opt_state: Any) -> tuple[Players, Any]:
        for player in Players._fields:
            moved, opt_state = step(players, opt_state)
            players = players._replace(**{player: getattr(moved, player)})
        return players, opt_state

    return alternating


def trajectory_of(name: str, settings: Settings) -> np.ndarray:
    """Trajectory of (theta, psi), float [steps + 1, 2]."""
    step, players, opt_state = make_step(name, settings)
    path = jax.jit(lambda *start: trajectory(step, *start, steps=settings.steps))(players, opt_state)
    return np.stack([path.generator["theta"], path.discriminator["psi"]], axis=1)


def radii(rows: list[dict[str, Any]]) -> str:
    """The table of docs/dirac.md."""
    radius = {(row["method"], row["updates"]): row["radius"] for row in rows}
    heads = ["method", "radius, simultaneous", "radius, alternating (G first)", "rate, simultaneous (theory)", ""]
    size = Settings().step_size
    lines = []
    for name, method in METHODS.items():
        rate = "no derivative at psi = 0" if method.eigenvalue is None else f"{abs(1 + size * method.eigenvalue):.4f}"
        lines.append([f"`{name}`", *(f"{radius[name, updates]:.2g}" for updates in UPDATES), rate, method.about])
    return table(heads, lines)


def summary(path: np.ndarray) -> dict[str, float | None]:
    """The end of a trajectory. A number that overflowed is None, because JSON has no infinity."""
    theta, psi = (float(value) for value in path[-1])
    values = {"radius": math.hypot(theta, psi), "theta": theta, "psi": psi}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def draw(paths: dict[str, np.ndarray], out: pathlib.Path) -> None:
    """Draws one panel per method with its trajectory."""
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
    """Reads the flags. A value out of range ends the program with one line that names the flag."""
    defaults = Settings()
    parser = argument_parser(__doc__)
    parser.add_argument("--method", choices=METHODS, help="train with one method (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object (with --method) and draw nothing")
    parser.add_argument(
        "--rows",
        type=pathlib.Path,
        help="file of JSON lines to which the results are added, e.g. docs/data/dirac.jsonl; no figure is drawn without --out",
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
    parser.add_argument(
        "--gamma", type=float, default=None, help="strength of the penalty (gamma / 2 times its value) or of consensus (its weight)"
    )
    parser.add_argument("--noise", type=float, default=defaults.noise, help="standard deviation of the instance noise")
    parser.add_argument("--clip", type=float, default=defaults.clip, help="bound on |psi| of wasserstein_clip")
    parser.add_argument("--target", type=float, default=defaults.target, help="target gradient norm of wgan_gp")
    parser.add_argument("--updates", choices=UPDATES, default=defaults.updates, help="alternating updates G first")
    flags = parser.parse_args(arguments)
    if flags.json and flags.method is None:
        fail("--json needs --method")
    if flags.json and flags.rows is not None:
        fail("--json: cannot be combined with --rows")
    for name, allowed, expected in [
        ("step_size", flags.step_size > 0, "positive"),
        ("steps", flags.steps >= 1, "at least 1"),
        ("gamma", flags.gamma is None or flags.gamma >= 0, "not negative"),
        ("noise", flags.noise >= 0, "not negative"),
        ("clip", flags.clip > 0, "positive"),
        ("target", flags.target >= 0, "not negative"),
    ]:
        if not allowed:
            fail(f"--{name.replace('_', '-')} {getattr(flags, name)}: must be {expected}")
    return flags, Settings(**{name: getattr(flags, name) for name in Settings._fields} | {"start": tuple(flags.start)})


def main(arguments: list[str] | None = None) -> None:
    flags, settings = parse(arguments)
    out = flags.out
    if out is None and flags.method is None and flags.rows is None:
        out = pathlib.Path(__file__).resolve().parents[2] / "docs" / "images" / "dirac.png"
    if out is not None and not flags.json:
        need_matplotlib(f"--out {flags.out}" if flags.out else "the figure")
    names = [flags.method] if flags.method else list(METHODS)
    with jax.enable_x64(True):
        paths = {name: trajectory_of(name, settings) for name in names}
    if flags.json:
        print(json.dumps(summary(paths[flags.method])))
        return
    if flags.rows is not None:
        came_from = origin(command_of("experiments.studies.dirac", without=("--out", "--rows")), form="scan")
        rows = ({"method": name, **settings._asdict(), **summary(path)} | came_from for name, path in paths.items())
        with errors_as_lines():
            append_rows(flags.rows, rows)
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
