"""Transfer: a GAN begins with the weights of another one.

Weights are matched layer by layer. A layer is taken over if the other network has a layer of the same path whose parameters have the same
names and shapes. Other layers keep their own initialisation, e.g. the first layer of D for images with other channels.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax._internal.kernels import as_matrix, exact_norm
from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import TrainState
from gan_jax.gan.update_rules import UpdateRule
from gan_jax.optimizers import ema_params, with_ema_params
from gan_jax.typing import Array, Players, PyTree

Leaves = Mapping[str, np.ndarray]
POWER_ITERATIONS = 32  # Power iterations from random vectors for weights whose own vectors are not known.


class Weights(NamedTuple):
    """The weights of a trained GAN, by path. A player without weights has empty mappings.

    Attributes:
        params: `Players` of the parameters of the networks: path -> array.
        average: The moving average of G's parameters, or None.
        states: `Players` of the states of the networks, such as batch statistics.
        transforms: `Players` of the states of the transformations, such as the vectors of spectral normalisation.
    """

    params: Players
    average: Leaves | None = None
    states: Players = Players({}, {})
    transforms: Players = Players({}, {})


class Transferred(NamedTuple):
    """Which layers of a player are taken over.

    Attributes:
        loaded: Paths of the layers that are taken over.
        new: Path of each other layer -> the reason.
    """

    loaded: tuple[str, ...]
    new: dict[str, str]


def match_layers(template: Mapping[str, Any], weights: Leaves) -> Transferred:
    """Compares the parameters of a network with other ones, layer by layer.

    Args:
        template: Path -> array or shape of the network.
        weights: Path -> array of the other network.

    Returns:
        The layers that fit, and why the others do not.
    """
    own, other = _by_layer(template), _by_layer(weights)
    loaded, new = [], {}
    for layer, leaves in own.items():
        shapes = {name: tuple(leaf.shape) for name, leaf in leaves.items()}
        given = {name: tuple(leaf.shape) for name, leaf in other.get(layer, {}).items()}
        if shapes == given:
            loaded.append(layer)
        elif not given:
            new[layer] = "not in the file"
        else:
            name = next(name for name in (*shapes, *given) if shapes.get(name) != given.get(name))
            new[layer] = f"{name} is {given.get(name, 'not in the file')}, here {shapes.get(name, 'absent')}"
    return Transferred(tuple(loaded), new)


def transferred_layers(spec: GANSpec, weights: Weights) -> Players:
    """`Players` of `Transferred`: which layers of a GAN would be taken over. It computes nothing."""
    networks, _ = jax.eval_shape(spec.init_networks, jax.random.key(0))
    return Players(*(match_layers(flat(network), plain_weights(params)) for network, params in zip(networks, weights.params, strict=True)))


def transfer(
    spec: GANSpec, rule: UpdateRule, init: Callable[[Array], tuple[Players, TrainState]], rng: Array, weights: Weights
) -> tuple[Players, TrainState]:
    """Initialises a GAN with the weights of another one.

    G, D, the moving average of G and the states of the networks begin at the given weights. The step, the optimiser and everything else
    begin as in `init`. If G tracks no moving average, G itself begins at the given average, so that its samples are those of the other
    GAN. Weights that were trained with weight or spectral normalisation, and are used without it, are converted to the effective ones.

    Args:
        spec: The GAN.
        rule: Its update rule.
        init: `GAN.init` of the GAN.
        rng: Typed key.
        weights: The weights.

    Returns:
        The parameters and the train state.
    """
    rngs = jax.jit(spec.init_networks)(rng)
    networks, states, averages = list[PyTree](), list[PyTree](), list[PyTree]()
    shapes = jax.eval_shape(init, rng)[1]
    for index, player in enumerate(Players._fields):
        given = _effective(getattr(weights.params, player), getattr(shapes.transforms, player), getattr(weights.transforms, player))
        fitting = match_layers(flat(rngs[0][index]), given)
        average = given
        if index == 0 and weights.average is not None:
            average = _effective(weights.average, shapes.transforms.generator, weights.transforms.generator)
        networks.append(_taken(rngs[0][index], given, fitting.loaded))
        averages.append(_taken(rngs[0][index], average, fitting.loaded))
        states.append(_state_taken(rngs[1][index], getattr(weights.states, player), fitting))

    def begin(rng: Array, networks: Players, states: Players, average: PyTree) -> tuple[Players, TrainState]:
        params, state = spec.init_state(rng, networks, states)
        try:
            ema_params(state.optimizer)
        except ValueError:  # No average is tracked.
            params, state = spec.init_state(rng, networks._replace(generator=average), states)
        else:
            prepared, _ = spec.init_transforms("generator", average, rng)
            state = state._replace(optimizer=with_ema_params(state.optimizer, prepared))
        return params, state._replace(update_rule=rule.init(spec, params), diagnostics=init(rng)[1].diagnostics)

    params, state = jax.jit(begin)(rng, Players(*networks), Players(*states), averages[0])
    transforms = []
    for player in Players._fields:
        own, given = getattr(state.transforms, player), getattr(weights.transforms, player)
        known = flat(own)
        taken = {path: given[path] for path in known if path in given and given[path].shape == known[path].shape}
        if len(taken) < len(known):
            own = _iterated(spec, player, params, state)
        transforms.append(_replaced(own, taken))
    return params, state._replace(transforms=Players(*transforms))


def plain_weights(params: Leaves) -> dict[str, np.ndarray]:
    """The weights of a network without the parametrisation of weight normalisation, by path: gain * direction / |direction|."""
    if not any(path.startswith("gain/") for path in params):
        return dict(params)
    plain = {path.removeprefix("direction/"): np.asarray(value) for path, value in params.items() if path.startswith("direction/")}
    for path, gain in params.items():
        if path.startswith("gain/"):
            kernel = plain[path.removeprefix("gain/")]
            norm = np.sqrt(np.square(kernel.astype(np.float64).reshape(-1, kernel.shape[-1])).sum(axis=0))
            scale = np.where(norm > 0, np.asarray(gain, np.float64) / np.where(norm > 0, norm, 1), 0)
            plain[path.removeprefix("gain/")] = (kernel * scale).astype(kernel.dtype)
    return plain


def flat(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by path, with "/" between the names."""
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _effective(params: Leaves, transforms: PyTree, given: Leaves) -> dict[str, np.ndarray]:
    """Plain weights, divided by their spectral norms if the other GAN normalises them and this one does not."""
    plain, own = plain_weights(params), {_parameter(path) for path in flat(transforms)}
    for path in {_parameter(path) for path in given} - own:
        if path in plain:
            norm = float(exact_norm(as_matrix(jnp.asarray(plain[path]))))
            plain[path] = (plain[path] / (norm or 1.0)).astype(plain[path].dtype)
    return plain


def _parameter(path: str) -> str:
    """The path of the parameter of a state of spectral normalisation: "0/vectors/Dense_0/kernel" -> "Dense_0/kernel"."""
    return path.split("/", 2)[-1]


def _by_layer(leaves: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    layers: dict[str, dict[str, Any]] = {}
    for path, leaf in leaves.items():
        layer, _, name = path.rpartition("/")
        layers.setdefault(layer or name, {})[name] = leaf
    return layers


def _layer(path: str) -> str:
    return path.rpartition("/")[0] or path


def _taken(network: PyTree, weights: Leaves, layers: tuple[str, ...]) -> PyTree:
    return _replaced(network, {path: value for path, value in weights.items() if _layer(path) in layers})


def _state_taken(state: PyTree, given: Leaves, fitting: Transferred) -> PyTree:
    """The state of a network with the given leaves that have its shapes, except of layers that begin anew."""

    def fits(path: str, leaf: Any) -> bool:
        return path in given and given[path].shape == leaf.shape and _layer(path.partition("/")[2]) not in fitting.new

    return _replaced(state, {path: given[path] for path, leaf in flat(state).items() if fits(path, leaf)})


def _replaced(tree: PyTree, leaves: Leaves) -> PyTree:
    def choose(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return jnp.asarray(leaves[name], leaf.dtype) if name in leaves else leaf

    return jax.tree_util.tree_map_with_path(choose, tree)


def _iterated(spec: GANSpec, player: str, params: Players, state: TrainState) -> PyTree:
    """The states of a player's transformations after some power iterations at the given weights."""

    @jax.jit
    def iterate(params: PyTree, state: TrainState) -> TrainState:
        return jax.lax.fori_loop(0, POWER_ITERATIONS, lambda _, state: spec.effective_params(player, params, state)[1], state)

    return getattr(iterate(getattr(params, player), state).transforms, player)
