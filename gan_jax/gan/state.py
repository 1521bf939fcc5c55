"""The train state: everything that evolves beside the parameters. Also the key of each random draw."""

from typing import NamedTuple

from gan_jax._internal.keys import named_key as named_key
from gan_jax.typing import Array, Players, PyTree


class TrainState(NamedTuple):
    """Everything that evolves beside the parameters. With the parameters, the seed and the data it determines the rest of the run.

    Attributes:
        step: int32 [], number of `train_step` calls so far.
        optimizer: State of the optimiser (moments, moving averages ...).
        networks: `Players` of the state that networks carry without gradients (batch statistics).
        transforms: `Players` of tuples with one state per parameter transformation (power iteration vectors).
        augmentations: One state per augmentation of D's images (augmentation probability).
        terms: One state per loss term (LeCam's anchors).
        replay: Buffer of past fakes, or `()`.
        update_rule: State of the update rule (a pool of past players), or `()`.
        pseudo_augmentation: State of the pseudo augmentation of D's reals (its probability), or `()`.
        diagnostics: Running figures for the monitor if `with_diagnostics` is used, otherwise `()`.
    """

    step: Array
    optimizer: PyTree
    networks: Players
    transforms: Players
    augmentations: tuple[PyTree, ...]
    terms: tuple[PyTree, ...]
    replay: PyTree
    update_rule: PyTree
    pseudo_augmentation: PyTree = ()
    diagnostics: PyTree = ()
