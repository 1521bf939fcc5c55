"""The train state: everything that evolves beside the parameters, and the key of each random draw."""

from typing import NamedTuple

from gan_jax._keys import named_key as named_key
from gan_jax.typing import Array, Players, PyTree


class TrainState(NamedTuple):
    """Everything that evolves beside the parameters; with them, the seed and the data position, the whole run.

    Attributes:
        step: int32 [], the number of `train_step` calls made.
        optimizer: the optimiser's state (moments, EMA ...).
        networks: `Players` of what networks carry without gradients (batch statistics).
        transforms: `Players` of tuples, one state per parameter transformation (power iteration vectors).
        augmentations: one state per transformation of D's inputs (augmentation probability).
        terms: one state per loss term (LeCam's anchors).
        replay: the buffer of past fakes, or `()`.
        update_rule: what the update strategy carries (a pool of past players), or `()`.
        signals: running figures for the monitor, or `()`.
    """

    step: Array
    optimizer: PyTree
    networks: Players
    transforms: Players
    augmentations: tuple[PyTree, ...]
    terms: tuple[PyTree, ...]
    replay: PyTree
    update_rule: PyTree
    signals: PyTree = ()
