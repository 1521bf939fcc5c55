"""Trains several GANs on the same points, and shows them side by side under one slider, in one HTML file that needs no network.

    gan-jax theatre                                          four games on a ring of 8 Gaussians, in theatre.html
    gan-jax theatre --games non-saturating +R1 hinge R3GAN
    gan-jax theatre --data grid --games WGAN-GP PacGAN unrolled extragradient "hinge + spectral norm"
    gan-jax theatre --games "hinge --penalty.r1 0.01" hinge --optimizer.generator-lr 1e-3

A game is one of the names below, in any case. "+NAME" adds to the game before it, "NAME + NAME" combines. A name can be followed
by flags of `gan-jax train`, in one quoted word. Flags of `gan-jax train` outside of --games change the common configuration, which is
otherwise the baseline of docs/evidence.md: perceptrons of 128 units, 3,000 steps of 128 points. The page is an illustration of one
seed, and says so.
"""

import argparse
import dataclasses
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from gan_jax.cli.errors import errors_as_lines, fail
from gan_jax.cli.parsing import argument_parser

DEFAULT_GAMES = ("non-saturating", "+R1", "hinge", "R3GAN")
MOST_GAMES = 12
NEEDS = {"frames": (8, 400), "points": (16, 2000), "resolution": (8, 128)}


def read(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits the words into the flags of this command and those of the configuration."""
    from gan_jax.trainer.theatre.games import GAMES

    parser = argument_parser(f"{__doc__}\nGames: {', '.join(GAMES)}", "gan-jax theatre")
    parser.add_argument("--games", nargs="+", default=list(DEFAULT_GAMES), metavar="GAME", help="what to compare (default: four games)")
    parser.add_argument("--data", choices=("ring", "grid"), default="ring", help="8 Gaussians on a ring, or 25 on a grid (default: ring)")
    parser.add_argument("--steps", type=int, default=None, help="train steps of every game (default: 3000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights, the latents and the batches (default: 0)")
    parser.add_argument("--frames", type=int, default=60, help="positions of the slider; fewer if the file is too large (default: 60)")
    parser.add_argument("--points", type=int, default=256, help="fakes in a panel (default: 256)")
    parser.add_argument("--resolution", type=int, default=36, help="grid points per side for D's output (default: 36)")
    parser.add_argument("--no-dirac", action="store_true", help="leave out the phase portraits of the Dirac-GAN")
    parser.add_argument("--out", type=Path, default=Path("theatre.html"), help="file to write (default: theatre.html)")
    parser.add_argument("--evidence", help="address of the evidence page (default: docs/evidence.md if the file is in the repository)")
    parser.add_argument("--compilation-cache", metavar="DIR", help="directory of compiled programs, or none")
    flags, rest = parser.parse_known_args(arguments)
    for name, (low, high) in NEEDS.items():
        if not low <= getattr(flags, name) <= high:
            fail(f"--{name} {getattr(flags, name)}: must be between {low} and {high}")
    if len(flags.games) > MOST_GAMES:
        fail(f"--games: {len(flags.games)} games; at most {MOST_GAMES}")
    if flags.out.is_dir():
        fail(f"--out {flags.out}: is a directory; name a file")
    if rest and not rest[0].startswith("-"):
        fail(f"{rest[0]}: not a flag; quote a game of several words, e.g. --games 'hinge + R1'")
    return flags, rest


def read_games(flags: argparse.Namespace, rest: list[str]) -> list[Any]:
    """The games of the command line.

    Raises:
        ConfigError: A name is unknown, or a configuration is not allowed.
    """
    from gan_jax.cli.train_command import parse_config, read_command
    from gan_jax.trainer.config import ConfigError, check, replace_field
    from gan_jax.trainer.theatre.games import BASE, Game, game_config

    base = replace_field(dataclasses.replace(BASE, seed=flags.seed), "data.source", flags.data)
    if flags.steps is not None:
        base = dataclasses.replace(base, steps=flags.steps)
    if rest:
        base = parse_config(base, read_command(["theatre", *_typed(rest)]))
    games: list[Game] = []
    for text in flags.games:
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"--games {text}: {error}") from None
        at = next((number for number, word in enumerate(words) if word.startswith("--")), len(words))
        name, own = " ".join(words[:at]), words[at:]
        known = game_config(name or "non-saturating", base, games)
        config = parse_config(known.config, read_command(["theatre", *_typed(own)])) if own else known.config
        if (config.steps, config.seed, config.data.source) != (base.steps, base.seed, base.data.source):
            raise ConfigError(f"--games {text}: steps, seed and data are those of all games; use --steps, --seed and --data")
        label = " ".join([known.name, *own]) if own else known.name
        games.append(Game(label, check(config)))
    return games


def changed_flags(config: Any) -> str:
    """The flags of `gan-jax train` by which a game differs from the common configuration, apart from those of all games."""
    from gan_jax.trainer.config import flatten
    from gan_jax.trainer.config.flags import settings_as_flags
    from gan_jax.trainer.theatre.games import BASE

    common = flatten(BASE)
    shared = ("recipe", "seed", "steps", "data.source", "model.options")
    words = [f"{path} {value}" for path, value in flatten(config).items() if path not in shared and value != common[path]]
    options = {name: value for name, value in config.model.options.items() if BASE.model.options.get(name) != value}
    return settings_as_flags(" ".join(words + [f"model.options.{name} {value}" for name, value in options.items()]))


def _typed(rest: list[str]) -> list[str]:
    own = {"--config", "--resume"} & {word.partition("=")[0] for word in rest}
    if own:
        fail(f"{min(own)}: not a flag of this command")
    return rest


def evidence_link(out: Path) -> str | None:
    """The relative path from the file to docs/evidence.md, if both are in this repository."""
    page = Path(__file__).resolve().parents[2] / "docs" / "evidence.md"
    if not page.is_file() or not out.resolve().is_relative_to(page.parents[1]):
        return None
    return Path(os.path.relpath(page, out.resolve().parent)).as_posix()


def main(arguments: list[str] | None = None) -> None:
    """Trains the games, and prints the path of the page."""
    words = sys.argv[1:] if arguments is None else arguments
    flags, rest = read(words)
    with errors_as_lines():
        games = read_games(flags, rest)
        from gan_jax.cli.compilation_cache import use_compilation_cache

        use_compilation_cache(flags.compilation_cache)
        from gan_jax.trainer.build.data import load_data
        from gan_jax.trainer.config import ConfigError
        from gan_jax.trainer.theatre.dirac import portrait
        from gan_jax.trainer.theatre.page import Play, write_theatre
        from gan_jax.trainer.theatre.record import record_game

        source = load_data(games[0].config)
        plays = []
        for number, game in enumerate(games, 1):
            started = time.perf_counter()
            print(f"{game.name} ({number} of {len(games)}) ...", end=" ", file=sys.stderr, flush=True)
            recording = record_game(game, source, seed=flags.seed, frames=flags.frames, points=flags.points, side=flags.resolution)
            plays.append(Play(recording, changed_flags(game.config), None if flags.no_dirac else portrait(game.config)))
            print(f"{recording.modes[-1]} of {len(source.centers)} modes, {time.perf_counter() - started:.0f} s", file=sys.stderr)
        # The page can be passed on, so the folder of the file stays out of it.
        typed = {str(flags.out): flags.out.name, f"--out={flags.out}": f"--out={flags.out.name}"}
        command = shlex.join(["gan-jax", "theatre", *(typed.get(word, word) for word in words)])
        try:
            evidence = flags.evidence or evidence_link(flags.out)
            flags.out.parent.mkdir(parents=True, exist_ok=True)
            shown = write_theatre(flags.out, plays, source, seed=flags.seed, command=command, evidence=evidence)
        except ValueError as error:
            raise ConfigError(f"--games: {error}") from error
    size = flags.out.stat().st_size
    print(f"{flags.out} ({shown} frames, {size / 1000:.0f} kB; open it in a browser)")
