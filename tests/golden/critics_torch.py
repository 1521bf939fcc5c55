"""Golden values of changed discriminators, from their authors' code: python tests/golden/critics_torch.py PEERS

PEERS is as in steps_torch.py. The script writes critics_torch.npz beside itself. Made with PyTorch 2.13.0 (CPU, float32). Tests read the
file only.

- `gradient_norm`: `normalize_gradient` of GNGAN-PyTorch on D of steps_common.py, each of its losses, and the gradients of these.
- `apa`: two train steps of `StyleGAN2Loss` of DeceiveD with its pseudo augmentation, and the lines that adjust its probability.
- `apa_control`: the probability that these lines reach for a sequence of logits.
- `gngan`: two train steps of its train.py with the settings of config/GN-GAN_CIFAR10_CNN.txt, in the form of steps_torch.py.
"""

import copy
import importlib
import pathlib
import types
from unittest import mock

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


def deceived(root, probability, target, interval, kimg):
    """The authors' pipe with its probability, and the code that adjusts it: training/training_loop.py, lines 314 to 317."""
    pipe = types.SimpleNamespace(p=torch.tensor(probability))
    statistics = importlib.import_module("torch_utils.training_stats")
    scope = {
        **{"np": np, "misc": importlib.import_module("torch_utils.misc"), "device": "cpu", "batch_size": BATCH, "augment_pipe": pipe},
        **{"apa_target": target, "apa_interval": interval, "apa_kimg": kimg, "apa_stats": statistics.Collector(regex="Loss/signs/real")},
    }
    return pipe, statistics, scope, lines(root / "training" / "training_loop.py", 314, 317)


def apa_control():
    """28 updates of D with an adjustment every 4: the logits grow, and later fall until the probability is 0 again."""
    with imported("deceived") as root:
        pipe, statistics, scope, adjust = deceived(root, 0.0, 0.6, 4, 0.1)
        middle = np.concatenate([np.full(12, 2.0), np.full(16, 0.0)])
        logits = (middle[:, None] + np.random.default_rng(5).normal(size=(28, BATCH))).astype(np.float32)
        probabilities = []
        for number, row in enumerate(logits):
            statistics.report("Loss/signs/real", torch.tensor(row).sign())
            exec(adjust, scope | {"batch_idx": number + 1})
            probabilities.append(float(pipe.p))
        return {"apa_control/logits": logits, "apa_control/probabilities": np.array(probabilities, np.float32)}


def apa():
    """`StyleGAN2Loss.accumulate_gradients` with `adaptive_pseudo_augmentation`, and the probability after each step.

    The phases are those of the case stylegan2 of steps_torch.py, with D before G: Dmain, Dreg with gain 16 in the first step, and Gmain.
    The authors' pseudo data are the fakes of G's last update. Here they are fakes of the current G and of latents of their own. Both
    phases of D draw the same fakes among the reals.
    """
    with imported("deceived") as root:
        loss_module = importlib.import_module("training.loss")
        generator, discriminator = initialise(Generator(), "generator"), initialise(Discriminator(), "discriminator")
        pipe, _, scope, adjust = deceived(root, 0.6, 0.1, 1, 0.04)

        class Mapping(torch.nn.Module):
            def forward(self, latents, conditions, skip_w_avg_update=False):
                return latents

        class Critic(torch.nn.Module):
            def forward(self, images, conditions):
                return discriminator(images)

        options = {"style_mixing_prob": 0, "r1_gamma": 0.5, "pl_weight": 0}
        loss = loss_module.StyleGAN2Loss("cpu", Mapping(), generator, Critic(), augment_pipe=pipe, **options)
        optimizers, draws = (adam(generator, 2e-3, (0.0, 0.99)), adam(discriminator, 2e-3, (0.0, 0.99))), Draws()
        recorder = Recorder("apa", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        uniform = np.array([0.55, 0.9, 0.1, 0.65], np.float32)

        def phases(module, optimizer, *names):
            optimizer.zero_grad(set_to_none=True)
            module.requires_grad_(True)
            for name, gain in names:
                loss.accumulate_gradients(name, real, None, latents[name[0]], None, sync=True, gain=gain)
            module.requires_grad_(False)
            optimizer.step()

        probabilities = []
        for number in range(STEPS):
            real = draws.take("reals")
            latents = {player: draws.take("latents") for player in ("D", "pseudo", "G")}
            with torch.no_grad():
                loss.pseudo_data = loss.run_G(latents["pseudo"], None, sync=True)[0]
            with mock.patch("torch.rand", new=lambda shape, device: torch.tensor(uniform).view(shape)):
                phases(discriminator, optimizers[1], ("Dmain", 1), *((("Dreg", 16),) if number % 16 == 0 else ()))
            phases(generator, optimizers[0], ("Gmain", 1))
            exec(adjust, scope | {"batch_idx": number + 1})
            probabilities.append(float(pipe.p))
            recorder.step(number)
        return recorder.end(uniform=uniform, probabilities=probabilities)


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = gradient_norm() | gngan() | apa_control() | apa()
    source = f"PyTorch {torch.__version__}; " + ", ".join(f"{PEERS[peer][0]} {PEERS[peer][1][:7]}" for peer in ("gngan", "deceived"))
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(source), **arrays)
