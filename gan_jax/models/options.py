"""The options of all models with their types. `MODELS[name].options` lists those of one model with their defaults."""

from collections.abc import Sequence
from typing import Any, TypedDict


class ModelOptions(TypedDict, total=False):
    """Keyword arguments of `gan_jax.models.build_model`. The builder of a model documents each of its own options."""

    activation: str
    attention: int
    auxiliary: bool
    average_decay: float
    axis_name: str | None
    blocks: int
    channel_base: int | None
    channels: int
    clamp: float | None
    condition: str
    decoder_activation: str
    dim: int
    discriminator_activation: str | None
    discriminator_dropout: float
    discriminator_hidden: str | int | tuple[int, ...]
    discriminator_layers: int | None
    discriminator_norm: str | None
    discriminator_width: int | None
    down: str
    dropout: float
    dtype: Any
    embedding_dim: int
    fake_class: bool
    gamma: float
    generator_hidden: str | int | tuple[int, ...]
    gradient_checkpointing: bool
    group_size: int
    image_size: int | Sequence[int]
    init_scale: float
    kernel_init: str
    latent_dim: int
    low_precision_stages: int
    lr_multiplier: float
    mapping_layers: int
    minibatch_discrimination: bool
    minibatch_stddev: bool
    noise: bool
    noise_mode: str
    noise_std: float
    norm: str
    num_classes: int
    output_activation: str
    output_kernel: int | None
    patch_layers: int | None
    proxy_dim: int
    reconstructions_are_fakes: bool
    reference_size: int
    reverse: bool
    scales: int
    shared_dim: int
    skip_latents: bool
    style_dim: int | None
    style_mixing: float
    up: str
    width: int
