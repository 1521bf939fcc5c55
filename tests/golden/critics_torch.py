"""Golden values of changed discriminators, from their authors' code: python tests/golden/critics_torch.py PEERS

PEERS is as in steps_torch.py. The script writes critics_torch.npz beside itself. Made with PyTorch 2.13.0 (CPU, float32). Tests read the
file only.

- `gradient_norm`: `normalize_gradient` of GNGAN-PyTorch on D of steps_common.py, each of its losses, and the gradients of these.
- `gngan`: two train steps of its train.py with the settings of config/GN-GAN_CIFAR10_CNN.txt, in the form of steps_torch.py.
"""

import copy
import importlib
import pathlib
import types

import numpy as np
import torch
from steps_common import (
    BATCH,
    LATENT,
    PEERS,
    SHARED,
    STEPS,
    Discriminator,
    Draws,
    Generator,
    Recorder,
    adam,
    imported,
    initialise,
    lines,
    vector,
)


def images(count, start=0):
    return torch.tensor(SHARED["reals"][start : start + count]).permute(0, 3, 1, 2).contiguous()


def gradient_norm():
    """Normalised logits of 4 reals and 4 others, and for each loss its value and gradient with respect to D, and to the fakes."""
    with imported("gngan"):
        normalize = importlib.import_module("models.gradnorm").normalize_gradient
        losses = importlib.import_module("losses")
        discriminator, arrays = initialise(Discriminator(), "discriminator"), {}
        arrays["params"] = vector(discriminator)
        arrays["logits"] = normalize(discriminator, images(2 * BATCH)).detach().numpy()[:, 0]
        for name, loss in (("hinge", losses.HingeLoss()), ("bce", losses.BCEWithLogits()), ("wasserstein", losses.Wasserstein())):
            discriminator.zero_grad()
            real, fake = torch.split(normalize(discriminator, images(2 * BATCH)), BATCH)
            value = loss(real, fake)[0]
            value.backward()
            arrays[f"{name}/discriminator"] = value.detach().numpy()
            arrays[f"{name}/discriminator_gradient"] = vector(discriminator, lambda parameter: parameter.grad)
            fakes = images(BATCH, BATCH)
            value = loss(normalize(discriminator, fakes))
            arrays[f"{name}/generator"] = value.detach().numpy()
            # The function made a leaf of the fakes.
            arrays[f"{name}/fake_gradient"] = torch.autograd.grad(value, fakes)[0].permute(0, 2, 3, 1).numpy()
        return {f"gradient_norm/{name}": value for name, value in arrays.items()}


def gngan():
    """The body of the training loop of train.py: lines 214 to 247 for D, 268 to 285 for G and the moving average."""

    class Critic(Discriminator):
        def forward(self, x, y=None):
            return super().forward(x)

    with imported("gngan") as root:
        update_d, update_g = lines(root / "train.py", 214, 247), lines(root / "train.py", 268, 285)
        utils = importlib.import_module("utils")
        generator, discriminator = initialise(Generator(), "generator"), initialise(Critic(), "discriminator")
        average, draws = copy.deepcopy(generator), Draws()
        optimizers = adam(generator, 2e-4, (0.0, 0.9)), adam(discriminator, 2e-4, (0.0, 0.9))
        recorder = Recorder("gngan", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        scope = {
            "torch": types.SimpleNamespace(
                **{name: getattr(torch, name) for name in ("split", "cat", "no_grad", "tensor")},
                randn=lambda count, dim: draws.take("latents", count),
                randint=lambda high, shape: torch.zeros(shape, dtype=torch.int64),
            ),
            "FLAGS": types.SimpleNamespace(
                **{"batch_size_D": BATCH, "batch_size_G": BATCH, "n_dis": 1, "z_dim": LATENT, "n_classes": 1, "cr": 0},
                **{"ema_start": 0, "ema_decay": 0.9999},
            ),
            **{"net_G": generator, "net_D": discriminator, "ema_G": average, "optim_G": optimizers[0], "optim_D": optimizers[1]},
            **{"loss_fn": importlib.import_module("losses").BCEWithLogits(), "device": "cpu", "ema": utils.ema},
            "normalize_gradient": importlib.import_module("models.gradnorm").normalize_gradient,
            "module_no_grad": utils.module_no_grad,
            "looper": iter(lambda: (draws.take("reals"), draws.take("labels")), None),
        }
        for number in range(STEPS):
            exec(update_d, scope | {"step": number + 1})
            exec(update_g, scope | {"step": number + 1})
            recorder.step(number)
        return recorder.end(average)


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = gradient_norm() | gngan()
    source = f"PyTorch {torch.__version__}; " + ", ".join(f"{PEERS[peer][0]} {PEERS[peer][1][:7]}" for peer in ("gngan",))
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(source), **arrays)
