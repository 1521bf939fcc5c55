"""Writes the theatre: recordings of several games as one HTML file that needs no network."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from gan_jax import __version__
from gan_jax._internal.files import write_text
from gan_jax.data import Source
from gan_jax.trainer.theatre.dirac import REACH, START, Portrait
from gan_jax.trainer.theatre.encoding import encode_points, encode_surface, pack_points, pack_surface, round_to
from gan_jax.trainer.theatre.record import LOSSES, Recording, bounds_of

LARGEST_FILE = 500_000  # Maximum number of bytes of the page. Frames are left out until it fits.
FEWEST_FRAMES = 8
REALS = 256
TITLES = {"ring": "a ring of 8 Gaussians", "grid": "a grid of 25 Gaussians"}


class Play(NamedTuple):
    """One game as the page shows it.

    Attributes:
        recording: The frames.
        flags: Flags of `gan-jax train` by which the game differs from the common configuration.
        portrait: Its Dirac-GAN, or None.
    """

    recording: Recording
    flags: str
    portrait: Portrait | None


def write_theatre(
    path: Path | str,
    plays: Sequence[Play],
    source: Source,
    *,
    seed: int,
    command: str,
    evidence: str | None = None,
    limit: int = LARGEST_FILE,
) -> int:
    """Writes the page. An existing file is replaced atomically.

    Args:
        path: The HTML file.
        plays: The games. All have the same steps.
        source: The data set that they were trained on.
        seed: The seed of all games.
        command: The command that repeats the page.
        evidence: Address of the page with measurements over many seeds, relative to the file or absolute. None names it without a link.
        limit: Maximum number of bytes of the file.

    Returns:
        Number of frames in the page. It is smaller than that of the recordings if the file would be larger than `limit`.

    Raises:
        ValueError: If there are no games, or they have different steps, or the page is larger than `limit` with 8 frames.
        OSError: If the file cannot be written.
    """
    if not plays or any(not np.array_equal(play.recording.steps, plays[0].recording.steps) for play in plays):
        raise ValueError("the games of a page must have the same steps, and there must be at least one")
    frames = len(plays[0].recording.steps)
    while True:
        chosen = np.unique(np.linspace(0, len(plays[0].recording.steps) - 1, frames).round().astype(int))
        text = _document(plays, source, chosen, seed, command, evidence)
        if len(text.encode()) <= limit:
            break
        if frames <= FEWEST_FRAMES:
            raise ValueError(
                f"{len(plays)} games take {len(text.encode()):,} bytes with {frames} frames; at most {limit:,}: show fewer games or points"
            )
        frames = max(FEWEST_FRAMES, int(frames * 0.9))
    write_text(Path(path), text)
    return len(chosen)


def _document(plays: Sequence[Play], source: Source, chosen: np.ndarray, seed: int, command: str, evidence: str | None) -> str:
    folder = files("gan_jax.trainer.theatre")
    data = _data(plays, source, chosen)
    link = f'<a href="{escape(evidence)}">evidence page</a>' if evidence else "evidence page (docs/evidence.md)"
    about = {
        "title": f"The theatre: {len(plays)} GANs on {TITLES.get(source.name, source.name)}",
        "steps": f"{plays[0].recording.game.config.steps:,}",
        "batch": f"{plays[0].recording.game.config.batch_size:,}",
        "seed": str(seed),
        "command": command,
        "version": __version__,
        "written": datetime.now(UTC).strftime("%Y-%m-%d"),
        "last": str(len(chosen) - 1),
        "last_step": f"{chosen_steps(plays, chosen)[-1]:,}",
    }
    return Template(folder.joinpath("theatre.html").read_text("utf-8")).substitute(
        {name: escape(text) for name, text in about.items()},
        style=folder.joinpath("theatre.css").read_text("utf-8"),
        script=folder.joinpath("theatre.js").read_text("utf-8"),
        evidence=link,
        cards="".join(_card(number, play, len(source.centers)) for number, play in enumerate(plays)),
        portraits="".join(_portrait(number, play) for number, play in enumerate(plays) if play.portrait is not None),
        rows="".join(_row(play, chosen, len(source.centers)) for play in plays),
        # "</script>" in a name would end the element.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def chosen_steps(plays: Sequence[Play], chosen: np.ndarray) -> list[int]:
    """Steps of the chosen frames."""
    return [int(step) for step in plays[0].recording.steps[chosen]]


def _data(plays: Sequence[Play], source: Source, chosen: np.ndarray) -> dict[str, Any]:
    bounds = bounds_of(source)
    reals = np.asarray(source.images[:REALS], np.float32)
    return {
        "bounds": bounds,
        "side": plays[0].recording.surface.shape[1],
        "points": plays[0].recording.fakes.shape[1],
        "modes": len(source.centers),
        "steps": chosen_steps(plays, chosen),
        "last": plays[0].recording.game.config.steps,
        "reals": pack_points(encode_points(reals, bounds)),
        "realCount": len(reals),
        "reach": REACH,
        "games": [_game(play, chosen, bounds) for play in plays],
    }


def _game(play: Play, chosen: np.ndarray, bounds: float) -> dict[str, Any]:
    recording = play.recording
    codes, ranges = encode_surface(recording.surface[chosen])
    portrait = play.portrait
    return {
        "name": recording.game.name,
        "fakes": pack_points(encode_points(recording.fakes[chosen], bounds)),
        "surface": pack_surface(codes),
        "ranges": ranges,
        "modes": [int(value) for value in recording.modes[chosen]],
        "quality": [round_to(float(value), 3) for value in recording.quality[chosen]],
        "lossSteps": [int(step) for step in recording.loss_steps],
        "losses": {name: [_finite(value) for value in recording.losses[name]] for name in LOSSES},
        "dirac": None
        if portrait is None
        else {
            "path": [[_finite(value) for value in point] for point in portrait.path],
            "arrows": [[[_finite(value, 2) for value in arrow] for arrow in row] for row in portrait.arrows],
        },
    }


def _finite(value: Any, digits: int = 3) -> float | None:
    return round_to(float(value), digits) if np.isfinite(value) else None


def _card(number: int, play: Play, modes: int) -> str:
    name = escape(play.recording.game.name)
    flags = f"<code>{escape(play.flags)}</code>" if play.flags else "the common configuration"
    return (
        f'<figure class="card" data-game="{number}"><figcaption><h3>{name}</h3><p class="flags">{flags}</p></figcaption>'
        f'<canvas class="stage" role="img" aria-label="{name}: the real points, the fakes and D&#39;s output"></canvas>'
        f'<dl class="facts"><div><dt>modes found</dt><dd class="modes">of {modes}</dd></div>'
        '<div><dt>near a mode</dt><dd class="quality"></dd></div>'
        '<div><dt>D&#39;s output</dt><dd class="range"></dd></div></dl>'
        f'<svg class="losses" viewBox="0 0 320 110" role="img" aria-label="Losses of {name} over the steps"></svg>'
        '<p class="legend"><span class="swatch generator"></span> G&#39;s loss <b class="generator"></b> '
        '<span class="swatch discriminator"></span> D&#39;s loss <b class="discriminator"></b></p></figure>'
    )


def _portrait(number: int, play: Play) -> str:
    name = escape(play.recording.game.name)
    start, end = play.portrait.path[0], play.portrait.path[-1]
    radius = float(np.hypot(*end))
    text = f"from radius {np.hypot(*start):.2f} to {radius:.2g}" if np.isfinite(radius) else "diverges"
    return (
        f'<figure class="card" data-dirac="{number}"><figcaption><h3>{name}</h3></figcaption>'
        f'<canvas class="portrait" role="img" aria-label="Dirac-GAN of {name}: the path of theta and psi goes {text} in '
        f'{len(play.portrait.path) - 1} steps"></canvas><p class="legend">distance to the equilibrium: {escape(text)}</p></figure>'
    )


def _row(play: Play, chosen: np.ndarray, modes: int) -> str:
    recording = play.recording
    best = int(recording.modes[chosen].max())
    cells = [f"{recording.modes[chosen][-1]} of {modes}", f"{best} of {modes}", f"{100 * recording.quality[chosen][-1]:.0f}%"]
    return f'<tr><th scope="row">{escape(recording.game.name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


__all__ = ["FEWEST_FRAMES", "LARGEST_FILE", "START", "Play", "write_theatre"]
