"""Recordings that look like those of a training, made without one."""

import dataclasses

import numpy as np

from gan_jax.data import load_source
from gan_jax.trainer.theatre.dirac import ARROWS, STEPS, Portrait
from gan_jax.trainer.theatre.games import BASE, game_config
from gan_jax.trainer.theatre.page import Play
from gan_jax.trainer.theatre.record import LOSSES, Recording


def fake_recording(name="hinge", *, frames=12, points=40, side=9, seed=0):
    """Fakes that move from the middle to the ring, a surface that turns, and one frame that is not finite."""
    rng = np.random.default_rng(seed)
    steps = np.arange(frames) * 10
    share = np.linspace(0, 1, frames)[:, None, None]
    angles = rng.integers(0, 8, points) * np.pi / 4
    ends = np.stack([np.cos(angles), np.sin(angles)], axis=1) + rng.normal(0, 0.01, (points, 2))
    fakes = (share * ends + rng.normal(0, 0.02, (frames, points, 2))).astype(np.float32)
    fakes[3, 0] = np.nan
    fakes[4, 1] = [50.0, -50.0]
    rows, columns = np.mgrid[0:side, 0:side]
    surface = np.stack([columns * np.cos(t) + rows * np.sin(t) + t for t in np.linspace(0, 3, frames)]).astype(np.float32)
    surface[5] = np.inf
    return Recording(
        game=game_config(name, dataclasses.replace(BASE, steps=int(steps[-1]))),
        steps=steps,
        fakes=fakes,
        surface=surface,
        modes=np.minimum(np.arange(frames), 8),
        quality=np.linspace(0, 0.9, frames),
        loss_steps=np.arange(1, 20) * 5,
        losses={name: np.concatenate([rng.normal(1, 0.1, 18), [np.nan]]) for name in LOSSES},
    )


def fake_plays(names=("hinge", "R3GAN"), **options):
    """One play for each name."""
    path = np.stack([np.linspace(1, 0, STEPS + 1), np.linspace(1, 0, STEPS + 1)], axis=1)
    portrait = Portrait(path, np.full((ARROWS, ARROWS, 2), -0.1))
    return [Play(fake_recording(name, seed=number, **options), "--loss.name hinge", portrait) for number, name in enumerate(names)]


def ring():
    return load_source("ring", count=1000)
