"""Trains many GANs at once in one program: many seeds, or many settings of traced hyperparameters.

A run is what `gan.init` and `gan.train_step` compute from one key. Here every leaf of the parameters and the state has a leading axis
[runs], the data set is on the device once, and a sequence of steps is one `lax.scan`. The functions are pure and not jitted.
`split_runs` jits them and distributes the runs over devices, which do not communicate.

To train with many seeds:

    keys = jax.vmap(jax.random.key)(jnp.arange(8))
    params, opt_state = jax.jit(partial(init_many, gan))(keys)
    train = jax.jit(partial(train_many, gan), donate_argnums=(0, 1))
    params, opt_state, metrics = train(params, opt_state, data, indices, keys)

To train with many hyperparameters, pass as `gan` a function that makes the GAN from the settings of one run. The settings are then
traced numbers:

    def gan(settings): return make_gan(..., optimizer=ttur(settings["lr"], 4 * settings["lr"]))

A hyperparameter can be swept if it is only multiplied, or compared under `jnp`, e.g. learning rates, decays and penalty weights. It
cannot be swept if it determines shapes or the structure of the program, e.g. widths, the number of discriminator updates, or a weight
that is compared with 0 to leave a term out.
If runs take different branches under `vmap`, both branches are computed for all runs. Lazy penalties therefore save no time, and a
`while_loop` iterates until the last run is done.

Arguments that several functions share:

- gan: A `GAN`, or a function that makes it from the settings of one run.
- params, opt_state: Parameters and train state, each leaf [runs, ...].
- keys: Typed keys [runs].
- settings: Tree of arrays [runs, ...] with one entry per run. None if `gan` takes no settings.
- form: "vmap" computes all runs in every operation. It is best for perceptrons. "map" computes one run after the other. Use it for
  convolutions on CPU, because `vmap` turns them into grouped convolutions that are many times slower.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec

from gan_jax.distributed.sharding import one_thread_each
from gan_jax.typing import GAN, Array, Metrics, Players, PyTree

AnyGAN: TypeAlias = GAN | Callable[[PyTree], GAN]
Form: TypeAlias = Literal["vmap", "map"]


def init_many(gan: AnyGAN, keys: Array, settings: PyTree = None, *, form: Form = "vmap") -> tuple[Players, PyTree]:
    """Initialises many runs. Run i is `gan.init(keys[i])`.

    Args:
        gan: A `GAN`, or a function that makes it from the settings of one run.
        keys: Typed keys [runs].
        settings: Tree of arrays [runs, ...] with one entry per run. None if `gan` takes no settings.
        form: "vmap" or "map", see the module docstring.

    Returns:
        Parameters and train state, each leaf [runs, ...].

    Raises:
        ValueError: If keys are not typed keys [runs], if settings have another number of runs, or if the form is unknown.
    """
    _check_runs(keys, settings=settings)
    return _each(lambda key, setting: _gan_of(gan, setting).init(key), form)(keys, settings)


def train_many(
    gan: AnyGAN,
    params: Players,
    opt_state: PyTree,
    data: Mapping[str, Array],
    indices: Array,
    keys: Array,
    settings: PyTree = None,
    flips: Array | None = None,
    *,
    form: Form = "vmap",
) -> tuple[Players, PyTree, Metrics]:
    """Trains many runs for a number of steps. Each run has its own batches from the shared data set.

    Args:
        gan: As in `init_many`.
        params: Parameters, each leaf [runs, ...].
        opt_state: Train state, each leaf [runs, ...].
        data: The whole data set, shared by all runs: `image` [examples, ...], and `label` int32 [examples] if there are labels.
        indices: int32 [runs, steps, batch], the examples of each batch.
        keys: Typed keys [runs]. The key of a run is constant, and the train step folds in its step number.
        settings: As in `init_many`.
        flips: bool [runs, steps, batch], the images that are mirrored. None mirrors none.
        form: "vmap" or "map", see the module docstring.

    Returns:
        Parameters and train state after the last step, and the metrics of every step, each [runs, steps].

    Raises:
        ValueError: If the arguments have different numbers of runs, if indices are not [runs, steps, batch], or if the form is unknown.
    """
    _check_runs(keys, params=params, opt_state=opt_state, indices=indices, settings=settings, flips=flips)
    if indices.ndim != 3:
        raise ValueError(f"indices must be [runs, steps, batch]; got shape {indices.shape}")

    def train_one(
        params: Players, opt_state: PyTree, indices: Array, key: Array, setting: PyTree, flips: Array | None
    ) -> tuple[Players, PyTree, Metrics]:
        train_step = _gan_of(gan, setting).train_step

        def step(carry: tuple[Players, PyTree], chosen: tuple[Array, Array | None]) -> tuple[tuple[Players, PyTree], Metrics]:
            examples, mirrored = chosen
            batch = {name: array[examples] for name, array in data.items()}
            if mirrored is not None:
                batch["image"] = jnp.where(mirrored[:, None, None, None], batch["image"][:, :, ::-1], batch["image"])
            params, opt_state, metrics = train_step(*carry, batch, key)
            return (params, opt_state), metrics

        (params, opt_state), metrics = jax.lax.scan(step, (params, opt_state), (indices, flips))
        return params, opt_state, metrics

    return _each(train_one, form)(params, opt_state, indices, keys, settings, flips)


def sample_many(
    gan: AnyGAN, params: Players, opt_state: PyTree, keys: Array, settings: PyTree = None, *, count: int, form: Form = "vmap"
) -> Array:
    """Samples from many runs.

    Args:
        gan: As in `init_many`.
        params: Parameters, each leaf [runs, ...].
        opt_state: Train state, each leaf [runs, ...].
        keys: Typed keys [runs].
        settings: As in `init_many`.
        count: Number of samples of each run.
        form: "vmap" or "map", see the module docstring.

    Returns:
        float [runs, count, ...]. Run i is `gan.sample(params[i], opt_state[i], keys[i], count)`.

    Raises:
        ValueError: If the arguments have different numbers of runs, or if the form is unknown.
    """
    _check_runs(keys, params=params, opt_state=opt_state, settings=settings)

    def sample_one(params: Players, opt_state: PyTree, key: Array, setting: PyTree) -> Array:
        return _gan_of(gan, setting).sample(params, opt_state, key, count)

    return _each(sample_one, form)(params, opt_state, keys, settings)


def split_runs(
    function: Callable[..., Any], *, devices: Sequence[jax.Device] | None = None, shared: Sequence[int] = (), donate: Sequence[int] = ()
) -> Callable[..., Any]:
    """Jits a function of many runs and gives each device an equal part of the runs.

    Args:
        function: Maps positional trees of arrays [runs, ...] to trees of arrays [runs, ...], e.g. `partial(train_many, gan)`.
        devices: Devices to use. The default is the first device. On CPU, `XLA_FLAGS=--xla_force_host_platform_device_count=2` makes two
            devices of one.
        shared: Positions of arguments without an axis of runs, which are replicated on all devices, e.g. 2 for the `data` of
            `train_many`.
        donate: Positions of arguments whose memory may be reused for the results.

    Returns:
        The jitted function. It compiles once for each set of shapes. It raises ValueError if the number of runs is not divisible by the
        number of devices.
    """
    devices = list(devices or jax.devices()[:1])
    mesh = Mesh(devices, ("runs",), axis_types=(AxisType.Auto,))

    def split(*arguments: Any) -> Any:
        of_runs = [leaf for number, tree in enumerate(arguments) if number not in shared for leaf in jax.tree.leaves(tree)]
        runs = {leaf.shape[0] for leaf in of_runs}
        if any(count % len(devices) for count in runs):
            raise ValueError(f"{len(devices)} devices cannot share {max(runs)} runs evenly")
        specs = tuple(PartitionSpec() if number in shared else PartitionSpec("runs") for number in range(len(arguments)))
        # The devices do not communicate, so the check of replicated values is not needed.
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("runs"), check_vma=False)(*arguments)

    return jax.jit(split, donate_argnums=tuple(donate), compiler_options=one_thread_each(devices))


def _gan_of(gan: AnyGAN, settings: PyTree) -> GAN:
    return gan if isinstance(gan, GAN) else gan(settings)


def _each(function: Callable[..., Any], form: Form) -> Callable[..., Any]:
    """Maps the function over the leading axis of all its arguments."""
    if form == "vmap":
        return jax.vmap(function)
    if form == "map":
        return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments)
    raise ValueError(f"form must be vmap or map; got {form!r}")


def _check_runs(keys: Array, **trees: PyTree) -> None:
    if not jnp.issubdtype(keys.dtype, jax.dtypes.prng_key) or keys.ndim != 1:
        raise ValueError(f"keys must be typed keys [runs]; got {keys.dtype} of shape {keys.shape}")
    for name, tree in trees.items():
        for leaf in jax.tree.leaves(tree):
            if jnp.ndim(leaf) < 1 or leaf.shape[0] != keys.shape[0]:
                raise ValueError(f"every leaf of {name} must be [{keys.shape[0]}, ...], like keys; got shape {jnp.shape(leaf)}")
