"""Checks that two networks fit each other and the data, before anything is computed."""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.gan.spec import GANSpec
from gan_jax.gan.state import named_key
from gan_jax.typing import Array, DiscriminatorOutput, GeneratorOutput


def check_networks(spec: GANSpec) -> None:
    """Traces both networks once. The messages name the shapes in one line.

    Args:
        spec: The GAN.

    Raises:
        ValueError: G does not make images of `image_shape`, D does not return one logit or one map of logits for each image, or a network
            cannot be applied to its inputs.
        TypeError: An output is of another type.
    """
    count, rng = spec.example_batch, jax.random.key(0)
    real = jax.ShapeDtypeStruct((count, *spec.image_shape), jnp.float32)
    labels = jax.ShapeDtypeStruct((count,), jnp.int32) if spec.num_classes else None

    def generate(real: Array, labels: Array | None) -> Any:
        context = spec.context.example(named_key(rng, "context"), real)
        latents = spec.sample_latents(named_key(rng, "latents"), (count, spec.latent_dim))
        params, state = spec.generator.init(rng, latents, labels, context)
        return spec.generator.apply(params, state, latents, labels, context, rng=rng, train=True)[0]

    def discriminate(real: Array, labels: Array | None) -> Any:
        context = spec.context.example(named_key(rng, "context"), real)
        states = tuple(augmentation.init() for augmentation in spec.augmentations)
        seen = spec.augment(real, states, rng, jnp.int32(0))
        params, state = spec.discriminator.init(rng, seen, labels, context)
        return spec.discriminator.apply(params, state, seen, labels, context, rng=rng, train=True)[0]

    fake = _traced(generate, f"the generator cannot be applied to latents [{count}, {spec.latent_dim}]", real, labels)
    if not isinstance(fake, GeneratorOutput):
        raise TypeError(f"the generator must return an array or a GeneratorOutput; got {type(fake).__name__}")
    shape = tuple(fake.images.shape)
    if shape != real.shape:
        raise ValueError(f"the generator makes images {list(shape)}, and those of the data are {list(real.shape)}; they must be equal")
    output = _traced(discriminate, f"the discriminator cannot be applied to images {list(real.shape)}", real, labels)
    if not isinstance(output, DiscriminatorOutput):
        raise TypeError(f"the discriminator must return an array or a DiscriminatorOutput; got {type(output).__name__}")
    for logits in jax.tree.leaves(output.logits):
        if logits.ndim not in (1, 3) and not (logits.ndim == 4 and logits.shape[-1] == 1):
            wanted = f"[{count}], or a map of logits [{count}, height, width]"
            advice = "; take output[:, 0]" if logits.ndim == 2 and logits.shape[1] == 1 else ""
            raise ValueError(f"the discriminator must return logits {wanted}; got {list(logits.shape)}{advice}")


def _traced(function: Any, problem: str, *arguments: Any) -> Any:
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:  # A network of the user can raise any type.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ValueError(f"{problem}: {lines[0]}") from error
