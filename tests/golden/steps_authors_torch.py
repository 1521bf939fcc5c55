"""Further golden train steps from the authors' code: python tests/golden/steps_authors_torch.py PEERS

Like steps_torch.py, for VQGAN's loss and for the conditional losses of StudioGAN. PEERS needs the checkouts that
losses_authors_torch.py names. The script writes steps_authors_torch.npz beside itself. Made with PyTorch 2.13.0 (CPU, float32).
"""

import ast
import contextlib
import pathlib
import types
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from losses_authors_torch import PEERS, ROOT, studiogan_losses, vqgan_loss_module
from steps_common import BATCH, CLASSES, SHARED, STEPS, Discriminator, Draws, Generator, Recorder, Translator, adam, initialise
from torch import nn

EMBEDDING = 7


def vqgan():
    """taming-transformers: `VQLPIPSWithDiscriminator.forward` for G, then for D, as `VQModel.training_step` calls it.

    The autoencoder is a translator of the mean of the channels, there is no codebook and no perceptual distance, and the adversarial
    loss starts at the second step.
    """
    loss = vqgan_loss_module().VQLPIPSWithDiscriminator(disc_start=1, disc_weight=0.8, perceptual_weight=0.0)
    generator, loss.discriminator = initialise(Translator(), "generator"), initialise(Discriminator(), "discriminator")
    optimizers = adam(generator, 2e-4, (0.5, 0.9)), adam(loss.discriminator, 2e-4, (0.5, 0.9))
    recorder = Recorder("vqgan", {"generator": (generator, optimizers[0]), "discriminator": (loss.discriminator, optimizers[1])})
    draws, weights = Draws(), []
    for number in range(STEPS):
        real = draws.take("reals")
        for index, optimizer in enumerate(optimizers):
            optimizer.zero_grad()
            made = generator(real.mean(1, keepdim=True))
            value, log = loss(torch.zeros(1), real, made, index, number, last_layer=generator.conv_1.weight)
            value.backward()
            optimizer.step()
            weights += [log["train/d_weight"].item()] if index == 0 else []
        recorder.step(number)
    return recorder.end(weights=weights)


class Off(types.SimpleNamespace):
    """A part of StudioGAN's configuration. Switches that are not named are off."""

    def __getattr__(self, name):
        return False


class Judge(Discriminator):
    """D with the heads of StudioGAN's conditioning methods D2DCE and 2C (an embedding and proxies), or MH (a class more)."""

    def __init__(self, method):
        super().__init__()
        self.method = method
        if method == "MH":
            self.dense = nn.Linear(24, CLASSES + 1)
        else:
            self.embed, self.proxies = nn.Linear(24, EMBEDDING), nn.Embedding(CLASSES, EMBEDDING)

    def forward(self, images, labels, adc_fake=False):
        features = self.features(images)
        output = {"adv_output": torch.squeeze(self.dense(features)), "label": labels}
        if self.method != "MH":
            # resnet.py of StudioGAN with normalize_d_embed.
            output["embed"] = F.normalize(self.embed(features), dim=1)
            output["proxy"] = F.normalize(self.proxies(labels), dim=1)
        return output


def studiogan(case):
    """StudioGAN: `WORKER.train_discriminator` (two updates) and `WORKER.train_generator`.

    A worker samples labels for the fakes. Here it receives the labels of the reals, as `gan_jax` does.
    """
    losses = studiogan_losses()
    method = {"reacgan": "D2DCE", "contragan": "2C", "mhgan": "MH"}[case]
    generator, discriminator = initialise(Generator(conditional=True), "generator"), initialise(Judge(method), "discriminator")
    optimizers = adam(generator, 2e-4, (0.5, 0.999)), adam(discriminator, 2e-4, (0.5, 0.999))
    recorder = Recorder(case, {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
    draws, labels, updates = Draws(), [], 2

    def basket():
        real, classes = zip(*((draws.take("reals"), draws.take("labels")) for _ in range(updates)), strict=True)
        # Labels of the fakes of each update of D, and of G: those of the last update of D.
        labels[:] = [*classes, classes[-1]]
        return real, classes

    def generate_images(**_):
        classes = labels.pop(0)
        return generator(draws.take("latents"), classes), classes, *(None,) * 5

    misc = mock.MagicMock(dummy_context_mgr=contextlib.nullcontext)
    scope = {"torch": torch, "np": np, "losses": losses, "misc": misc, "sample": types.SimpleNamespace(generate_images=generate_images)}
    source = (ROOT / PEERS["studiogan"][0] / "src" / "worker.py").read_text()
    worker = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "WORKER")
    names = ("train_discriminator", "train_generator")
    functions = [node for node in worker.body if isinstance(node, ast.FunctionDef) and node.name in names]
    exec(compile(ast.Module(functions, []), "worker.py", "exec"), scope)
    hinge = {"adv_loss": "hinge", "d_loss": losses.d_hinge, "g_loss": losses.g_hinge}
    multi = {"adv_loss": "MH", "d_loss": losses.crammer_singer_loss, "g_loss": losses.crammer_singer_loss, "mh_lambda": 0.05}
    common = {"num_classes": CLASSES, "master_rank": "cpu", "DDP": False}
    self = Off(
        Gen=generator,
        Dis=discriminator,
        local_rank="cpu",
        sample_data_basket=basket,
        DATA=Off(num_classes=CLASSES),
        MODEL=Off(d_cond_mtd=method),
        MISC=Off(classifier_based_GAN=["AC", "2C", "D2DCE"]),
        RUN=Off(freezeD=-1),
        cfgs=Off(STYLEGAN=Off()),
        STYLEGAN=Off(),
        AUG=Off(series_augment=lambda images: images),
        LOSS=Off(cond_lambda={"reacgan": 0.5, "contragan": 1.0}.get(case), **(multi if case == "mhgan" else hinge)),
        OPTIMIZATION=Off(
            **{"d_updates_per_step": updates, "g_updates_per_step": 1, "acml_steps": 1, "batch_size": BATCH},
            **{"g_optimizer": optimizers[0], "d_optimizer": optimizers[1]},
        ),
        lossy=torch.full((BATCH,), CLASSES),
        cond_loss=losses.ConditionalContrastiveLoss(temperature=1.0, **common)
        if case == "contragan"
        else losses.Data2DataCrossEntropyLoss(temperature=0.5, m_p=0.98, **common),
    )
    for number in range(STEPS):
        scope["train_discriminator"](self, number)
        scope["train_generator"](self, number)
        recorder.step(number)
    return recorder.end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = {f"shared/{name}": value for name, value in SHARED.items() if name != "coefficients"} | vqgan()
    for case in ("reacgan", "contragan", "mhgan"):
        arrays |= studiogan(case)
    source = f"PyTorch {torch.__version__}; " + ", ".join(f"{name} {commit[:7]}" for name, commit in PEERS.values())
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(source), **arrays)
