"""The same step over many runs at once: many seeds, or many settings of traced hyperparameters, as one program.

A run is what `gan.init` and `gan.train_step` make of one key. Here every leaf of its parameters and state has a leading axis [runs], the
data set lies on the device once, and a whole stretch of steps is one `lax.scan`. The functions are pure and not jitted; `split_runs` jits
them and spreads the runs over devices, which do not speak to each other.

Seeds alone:

    keys = jax.vmap(jax.random.key)(jnp.arange(8))
    params, opt_state = jax.jit(partial(init_many, gan))(keys)
    train = jax.jit(partial(train_many, gan), donate_argnums=(0, 1))
    params, opt_state, metrics = train(params, opt_state, data, indices, keys)

Hyperparameters: `gan` may be a function that makes the game from one run's settings, which are then traced numbers:

    def gan(settings): return make_gan(..., optimizer=ttur(settings["lr"], 4 * settings["lr"]))

Anything that is only multiplied or compared under `jnp` can be swept so (learning rates, decays, weights of penalties); what
decides shapes or the structure of the program (widths, the number of D's steps, a weight that is tested for 0 to leave a term out) cannot.
Under `vmap` a branch that differs between runs costs both of its sides: lazy penalties save nothing, and a `while_loop` turns until
the last run is done.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec

from gan_jax.distributed.sharding import one_thread_each
from gan_jax.typing import GAN, Array, Metrics, Players, PyTree

Game: TypeAlias = GAN | Callable[[PyTree], GAN]
Form: TypeAlias = Literal["vmap", "map"]


def init_many(gan: Game, keys: Array, settings: PyTree = None, *, form: Form = "vmap") -> tuple[Players, PyTree]:
    """Draws the start of many runs; run i is `gan.init(keys[i])`.

    Args:
        gan: the game, or a function that makes it from one run's settings.
        keys: typed keys [runs].
        settings: tree of arrays [runs, ...], one entry for each run; None for a `gan` that takes none.
        form: see `train_many`.

    Returns:
        Parameters and state, each leaf [runs, ...].

    Raises:
        ValueError: keys that are not [runs], settings that have another number of runs, an unknown form.
    """
    _check_runs(keys, settings=settings)
    return _each(lambda key, own: _game(gan, own).init(key), form)(keys, settings)


def train_many(
    gan: Game,
    params: Players,
    opt_state: PyTree,
    data: Mapping[str, Array],
    indices: Array,
    keys: Array,
    settings: PyTree = None,
    *,
    form: Form = "vmap",
) -> tuple[Players, PyTree, Metrics]:
    """Plays a stretch of steps of many runs, each on batches of its own out of one data set.

    Args:
        gan: as for `init_many`.
        params: leaves [runs, ...].
        opt_state: leaves [runs, ...].
        data: the whole data set, shared by all runs: `image` [examples, ...], and `label` int32 [examples] where there are labels.
        indices: int32 [runs, steps, batch], which examples make up which batch.
        keys: typed keys [runs], each constant over its run; the step folds in its number.
        settings: as for `init_many`.
        form: "vmap", all runs in every operation: best for perceptrons; or "map", one run after the other: for convolutions on
            CPU, which `vmap` turns into grouped ones that are many times slower.

    Returns:
        Parameters and state after the last step, and the metrics of every step, each [runs, steps].

    Raises:
        ValueError: arguments that disagree on the number of runs, indices that are not [runs, steps, batch], an unknown form.
    """
    _check_runs(keys, params=params, opt_state=opt_state, indices=indices, settings=settings)
    if indices.ndim != 3:
        raise ValueError(f"indices must be [runs, steps, batch]; got shape {indices.shape}")

    def train_one(params: Players, opt_state: PyTree, indices: Array, key: Array, own: PyTree) -> tuple[Players, PyTree, Metrics]:
        game = _game(gan, own)

        def step(carry: tuple[Players, PyTree], chosen: Array) -> tuple[tuple[Players, PyTree], Metrics]:
            batch = {name: array[chosen] for name, array in data.items()}
            params, opt_state, metrics = game.train_step(*carry, batch, key)
            return (params, opt_state), metrics

        (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), indices)
        return params, opt_state, metrics

    return _each(train_one, form)(params, opt_state, indices, keys, settings)


def sample_many(
    gan: Game, params: Players, opt_state: PyTree, keys: Array, settings: PyTree = None, *, count: int, form: Form = "vmap"
) -> Array:
    """Draws samples of many runs.

    Args:
        gan: as for `init_many`.
        params: leaves [runs, ...].
        opt_state: leaves [runs, ...].
        keys: typed keys [runs].
        settings: as for `init_many`.
        count: samples of each run.
        form: as for `train_many`.

    Returns:
        float [runs, count, ...], run i being `gan.sample(params[i], opt_state[i], keys[i], count)`.

    Raises:
        ValueError: arguments that disagree on the number of runs, an unknown form.
    """
    _check_runs(keys, params=params, opt_state=opt_state, settings=settings)

    def sample_one(params: Players, opt_state: PyTree, key: Array, own: PyTree) -> Array:
        return _game(gan, own).sample(params, opt_state, key, count)

    return _each(sample_one, form)(params, opt_state, keys, settings)


def split_runs(
    function: Callable[..., Any],
    *,
    devices: Sequence[jax.Device] | None = None,
    shared: Sequence[int] = (),
    donate: Sequence[int] = (),
) -> Callable[..., Any]:
    """Jits a function of many runs and gives each device an equal part of them.

    Args:
        function: of positional trees of arrays [runs, ...], to trees of arrays [runs, ...]; e.g. `partial(train_many, gan)`.
        devices: by default the first one. On CPU, `XLA_FLAGS=--xla_force_host_platform_device_count=2` makes two of one.
        shared: positions of arguments without an axis of runs, which every device needs whole (the `data` of `train_many`: 2).
        donate: positions of arguments whose memory the results may take.

    Returns:
        The jitted function; it compiles once for each set of shapes. It raises ValueError where the devices cannot share the
        runs evenly.
    """
    devices = list(devices or jax.devices()[:1])
    mesh = Mesh(devices, ("runs",), axis_types=(AxisType.Auto,))

    def split(*arguments: Any) -> Any:
        of_runs = [leaf for number, tree in enumerate(arguments) if number not in shared for leaf in jax.tree.leaves(tree)]
        runs = {leaf.shape[0] for leaf in of_runs}
        if any(count % len(devices) for count in runs):
            raise ValueError(f"{len(devices)} devices cannot share {max(runs)} runs evenly")
        specs = tuple(PartitionSpec() if number in shared else PartitionSpec("runs") for number in range(len(arguments)))
        # The devices exchange nothing, so there is nothing for the check of replicated values to find.
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("runs"), check_vma=False)(*arguments)

    return jax.jit(split, donate_argnums=tuple(donate), compiler_options=one_thread_each(devices))


def _game(gan: Game, settings: PyTree) -> GAN:
    return gan if isinstance(gan, GAN) else gan(settings)


def _each(function: Callable[..., Any], form: Form) -> Callable[..., Any]:
    """The function over the leading axis of all its arguments."""
    if form == "vmap":
        return jax.vmap(function)
    if form == "map":
        return lambda *arguments: jax.lax.map(lambda own: function(*own), arguments)
    raise ValueError(f"form must be vmap or map; got {form!r}")


def _check_runs(keys: Array, **trees: PyTree) -> None:
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1:
        raise ValueError(f"keys must be typed keys [runs]; got {keys.dtype} of shape {keys.shape}")
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(tree):
            if jnp.ndim(leaf) < 1 or leaf.shape[0] != keys.shape[0]:
                raise ValueError(f"every leaf of {name} must be [{keys.shape[0]}, ...], as keys are; got shape {jnp.shape(leaf)}")
