"""GAN training in plain PyTorch on the CPU, for `experiments/studies/compare_torch.py`.

Networks, loss and optimiser are those of a `gan_jax` configuration (DCGAN or SNGAN): the layers of `torch_steps`, the same initial
distributions, Adam, one-sided smoothing or the hinge loss, spectral normalisation of D, and the moving average of G.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.torch_steps import networks

WEIGHTED = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def initialise(module: nn.Module, model: str) -> None:
    """Initialises as `gan_jax.models`: DCGAN N(0, 0.02) with scales N(1, 0.02), SNGAN Glorot uniform with gain sqrt(2) in 3x3 blocks."""
    for name, layer in module.named_modules():
        if isinstance(layer, WEIGHTED):
            if model == "sngan":
                nn.init.xavier_uniform_(layer.weight, gain=2**0.5 if ".convs." in name else 1.0)
            else:
                nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d) and model == "dcgan":
            nn.init.normal_(layer.weight, 1.0, 0.02)


def discriminator_loss(name: str, real: torch.Tensor, fake: torch.Tensor, real_target: float) -> torch.Tensor:
    """Mean loss of D: cross-entropy with a target for the reals, or hinge."""
    if name == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    # -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = softplus(-x) + (1 - t) x
    return (F.softplus(-real) + (1 - real_target) * real).mean() + F.softplus(fake).mean()


def generator_loss(name: str, fake: torch.Tensor) -> torch.Tensor:
    """Mean loss of G: non-saturating, or hinge."""
    return -fake.mean() if name == "hinge" else F.softplus(-fake).mean()


class TorchTraining:
    """One training with its own clock.

    Args:
        model: "dcgan" or "sngan".
        images: Training set, uint8 [count, height, width, channels].
        indices_at: step -> int [discriminator_steps * batch_size], the images of that step.
        seed: Random seed of the weights and the latents.
        width, latent_dim: Sizes of the networks.
        loss: "non_saturating" or "hinge".
        real_target: Target of the real logits.
        spectral: Whether D has spectral normalisation.
        discriminator_steps: D updates per G update.
        learning_rates: Learning rates of G and of D.
        betas: Decay rates of both Adam optimisers.
        ema_decay: Decay of the moving average of G, with a warm-up of (1 + n) / (10 + n).
        threads: Number of threads of PyTorch.
    """

    def __init__(
        self,
        model: str,
        images: np.ndarray,
        indices_at: Callable[[int], np.ndarray],
        *,
        seed: int,
        width: int,
        latent_dim: int,
        loss: str,
        real_target: float,
        spectral: bool,
        discriminator_steps: int,
        learning_rates: tuple[float, float],
        betas: tuple[float, float],
        ema_decay: float,
        threads: int,
    ):
        start = time.perf_counter()
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        self.loss, self.real_target, self.discriminator_steps, self.latent_dim, self.decay = (
            loss,
            real_target,
            discriminator_steps,
            latent_dim,
            ema_decay,
        )
        self.indices_at, self.steps = indices_at, 0
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self.images = pixels.contiguous(memory_format=torch.channels_last)
        pair = networks(model, images.shape[1:], latent_dim, "batch", width)
        self.generator, self.discriminator = (network.to(memory_format=torch.channels_last) for network in pair)
        for network in pair:
            initialise(network, model)
        self.parameters = tuple(sum(p.numel() for p in network.parameters()) for network in pair)
        if spectral:
            for layer in list(self.discriminator.modules()):
                if isinstance(layer, WEIGHTED):
                    nn.utils.parametrizations.spectral_norm(layer)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        rates = zip(pair, learning_rates)
        self.optimizers = [torch.optim.Adam(network.parameters(), rate, betas=betas, fused=True) for network, rate in rates]
        self.seconds = time.perf_counter() - start

    def step(self) -> None:
        """One train step: the D updates, each on other images, the G update, and the moving average."""
        for chosen in np.split(self.indices_at(self.steps), self.discriminator_steps):
            real = self.images[torch.from_numpy(chosen.astype(np.int64))].float().div_(127.5).sub_(1)
            with torch.no_grad():
                fake = self.generator(torch.randn(len(chosen), self.latent_dim))
            self.optimizers[1].zero_grad()
            discriminator_loss(self.loss, self.discriminator(real), self.discriminator(fake), self.real_target).backward()
            self.optimizers[1].step()
        self.discriminator.requires_grad_(False)
        self.optimizers[0].zero_grad()
        generator_loss(self.loss, self.discriminator(self.generator(torch.randn(len(chosen), self.latent_dim)))).backward()
        self.optimizers[0].step()
        self.discriminator.requires_grad_(True)
        weight = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.generator.parameters()), 1 - weight)
        self.steps += 1

    def advance(self, until: float) -> None:
        """Trains until the clock of the training shows `until` seconds."""
        start, before = time.perf_counter(), self.seconds
        while self.seconds < until:
            self.step()
            self.seconds = before + time.perf_counter() - start

    def sample(self, count: int, batch_size: int = 250) -> np.ndarray:
        """Images from the averaged weights, uint8 [count, height, width, channels]. The clock does not count this."""
        weights = list(self.generator.parameters())
        kept = [p.detach().clone() for p in weights]
        rng = torch.get_rng_state()
        self.generator.eval()
        with torch.no_grad():
            for parameter, mean in zip(weights, self.average):
                parameter.copy_(mean)
            parts = [self.generator(torch.randn(min(batch_size, count - at), self.latent_dim)) for at in range(0, count, batch_size)]
            for parameter, old in zip(weights, kept):
                parameter.copy_(old)
        self.generator.train()
        torch.set_rng_state(rng)
        images = torch.cat(parts).permute(0, 2, 3, 1).numpy()
        return np.rint(127.5 * (np.clip(images, -1, 1) + 1)).astype(np.uint8)


def from_config(config: Any, images: np.ndarray, indices_at: Callable[[int], np.ndarray], *, threads: int) -> TorchTraining:
    """The training of a `gan_jax.trainer.config.Config` of a DCGAN or SNGAN.

    Raises:
        ValueError: The configuration sets a field that this comparison does not translate.
    """
    smoothing = config.loss.real_target or (1.0, 1.0)
    if config.model.name not in ("dcgan", "sngan") or config.loss.name not in ("non_saturating", "hinge") or smoothing[0] != smoothing[1]:
        raise ValueError(
            f"the comparison does not support {config.model.name} with the loss {config.loss.name} and real targets {smoothing}"
        )
    if not (
        config.optimizer.generator == config.optimizer.discriminator == "adam"
        and config.optimizer.schedule == "constant"
        and config.optimizer.ema_warmup
    ):
        raise ValueError("the comparison supports only Adam at constant rates with a warmed-up average")
    return TorchTraining(
        config.model.name,
        images,
        indices_at,
        seed=config.seed,
        width=config.model.width,
        latent_dim=config.model.latent_dim,
        loss=config.loss.name,
        real_target=smoothing[0],
        spectral=config.transform.spectral_norm == "discriminator",
        discriminator_steps=config.update.discriminator_steps,
        learning_rates=(config.optimizer.generator_lr, config.optimizer.discriminator_lr),
        betas=(config.optimizer.b1, config.optimizer.b2),
        ema_decay=config.optimizer.ema_decay,
        threads=threads,
    )
