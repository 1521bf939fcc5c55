"""Golden values of changed discriminators, from their authors' code: python tests/golden/critics_torch.py PEERS

PEERS is as in steps_torch.py. The script writes critics_torch.npz beside itself. Made with PyTorch 2.13.0 (CPU, float32). Tests read the
file only.

- `gradient_norm`: `normalize_gradient` of GNGAN-PyTorch on D of steps_common.py, each of its losses, and the gradients of these.
- `apa`: two train steps of `StyleGAN2Loss` of DeceiveD with its pseudo augmentation, and the lines that adjust its probability.
- `apa_control`: the probability that these lines reach for a sequence of logits.
- `stylegan2_geometry`: the case stylegan2 of steps_torch.py with all blits and geometric operations before the colours.
- `cutmix`: masks of `CutMix` of unetgan's mixup.py for given draws.
- `unet`: outputs and gradients of its `Unet_Discriminator` at 128 pixels, with plain convolutions, and its numbers of parameters.
- `projected`: logits and gradients of projected-gan's `F_RandomProj` and `SingleDisc`, with plain convolutions.
- `unetgan`: two train steps of its train_fns.py, the first without and the second with mixed images.
- `gngan`: two train steps of its train.py with the settings of config/GN-GAN_CIFAR10_CNN.txt, in the form of steps_torch.py.
"""

import contextlib
import copy
import importlib
import pathlib
import sys
import types
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
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
    discriminator_phases,
    imported,
    initialise,
    lines,
    sampled,
    stylegan2_loss,
    to_flax,
    update_in_phases,
    vector,
)
from steps_torch import stylegan2
from torch import nn

GEOMETRY = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")


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

        loss = stylegan2_loss(loss_module, generator, discriminator, pipe)
        optimizers, draws = (adam(generator, 2e-3, (0.0, 0.99)), adam(discriminator, 2e-3, (0.0, 0.99))), Draws()
        recorder = Recorder("apa", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        uniform = np.array([0.55, 0.9, 0.1, 0.65], np.float32)

        probabilities = []
        for number in range(STEPS):
            real = draws.take("reals")
            latents = {player: draws.take("latents") for player in ("D", "pseudo", "G")}
            with torch.no_grad():
                loss.pseudo_data = loss.run_G(latents["pseudo"], None, sync=True)[0]
            with mock.patch("torch.rand", new=lambda shape, device: torch.tensor(uniform).view(shape)):
                update_in_phases(loss, discriminator, optimizers[1], real, latents["D"], discriminator_phases(number))
            update_in_phases(loss, generator, optimizers[0], real, latents["G"], {"Gmain": 1})
            exec(adjust, scope | {"batch_idx": number + 1})
            probabilities.append(float(pipe.p))
            recorder.step(number)
        return recorder.end(uniform=uniform, probabilities=probabilities)


@contextlib.contextmanager
def unetgan():
    """The modules BigGAN, train_fns and mixup of the authors, on the CPU and for today's NumPy."""
    with (
        imported("unetgan"),
        mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor),
        mock.patch.object(np, "int", int, create=True),
    ):
        yield tuple(importlib.import_module(name) for name in ("BigGAN", "train_fns", "mixup"))


def cutmix():
    """Boxes inside, across a border, without an area, over the whole image; with the real part outside and inside."""
    rows = [(0.6, 7, 9, 0.2), (0.3, 1, 14, 0.9), (0.99, 5, 5, 0.1), (0.0, 8, 8, 0.8), (0.5, 15, 0, 0.4)]
    masks = []
    with unetgan() as (_, _, module):
        for lam, row, column, side in rows:
            places = iter((row, column))
            with (
                mock.patch("numpy.random.beta", new=lambda *_, lam=lam: lam),
                mock.patch("numpy.random.randint", new=lambda _, places=places: next(places)),
                mock.patch("torch.rand", new=lambda *_, side=side: torch.tensor([side])),
            ):
                masks.append(module.CutMix(16).numpy())
    return {"cutmix/draws": np.array(rows), "cutmix/masks": np.stack(masks)}


def plain(conv):
    """A layer class without spectral normalisation, which takes its arguments."""
    return lambda *sizes, num_svs, num_itrs, eps, **more: conv(*sizes, **more)


def unet_params(discriminator):
    """The parameters by their names in `gan_jax.models.unet_gan`, without the layer that the authors define and do not use."""
    count = (len(discriminator.blocks) - 1) // 2
    heads = {"linear_middle": "head/linear", "embed_middle": "head/embedding", "embed": "pixel_head/embedding"}
    heads[f"blocks.{2 * count}"] = "pixel_head"
    named = {}
    for name, value in discriminator.named_parameters():
        layer, _, kind = name.rpartition(".")
        if layer == "linear":
            continue
        if layer in heads:
            path = heads[layer]
        else:
            _, number, _, part = layer.split(".")
            block = f"down_{number}" if int(number) < count else f"up_{int(number) - count}"
            path = f"{block}/{ {'conv1': 'conv_1', 'conv2': 'conv_2', 'conv_sc': 'shortcut'}[part] }"
        kind = "bias" if kind == "bias" else "embedding" if "embedding" in path else "weight" if path == "pixel_head" else "kernel"
        named[f"{path}/{kind}"] = value
    return named


def in_flax(name, value):
    if name.startswith("pixel_head/") and not name.endswith("embedding"):
        return value.flatten() if name.endswith("weight") else value.squeeze()
    return to_flax(name, value)


def unet():
    """Two images, three classes, width 1, and the gradient of a weighted sum of all logits."""
    with unetgan() as (module, _, _):
        for name, layer in (("SNConv2d", nn.Conv2d), ("SNLinear", nn.Linear), ("SNEmbedding", nn.Embedding)):
            setattr(module.layers, name, plain(layer))
        counts = []
        for size in (128, 256):
            discriminator = module.Unet_Discriminator(D_ch=64, resolution=size, D_attn="0", unconditional=True, skip_init=True)
            counts.append(sum(value.numel() for value in unet_params(discriminator).values()))
        discriminator = module.Unet_Discriminator(D_ch=1, resolution=128, D_attn="0", n_classes=3, unconditional=False)
        named = unet_params(discriminator)
        for name, value in named.items():
            rng = np.random.default_rng([ord(letter) for letter in name])
            scale = {"bias": 0.1, "embedding": 0.3}.get(name.rpartition("/")[2], 1 / np.sqrt(max(1, value[0].numel())))
            value.data.copy_(torch.tensor(scale * rng.normal(size=tuple(value.shape))))
        rng = np.random.default_rng(11)
        inputs = torch.tensor(rng.uniform(-1, 1, (2, 128, 128, 3)).astype(np.float32)).permute(0, 3, 1, 2)
        weights = torch.tensor(rng.normal(size=(2, 128, 128)).astype(np.float32))
        pixels, middle = discriminator(inputs, torch.tensor([2, 0]))
        (middle[:, 0] @ torch.tensor([0.5, -1.0]) + (pixels[:, 0] * weights).mean()).backward()
        arrays = {"parameters": counts, "logits": middle[:, 0].detach(), "pixels": pixels[:, 0, ::8, ::8].detach()}
        for name, value in named.items():
            arrays[f"params/{name}"], arrays[f"gradients/{name}"] = in_flax(name, value.detach()), in_flax(name, value.grad)
        return {f"unet/{name}": np.asarray(value) for name, value in arrays.items()}


class PixelDiscriminator(nn.Module):
    """A convolution, one logit for the mean of its features, and one for each pixel."""

    def __init__(self):
        super().__init__()
        self.conv_0, self.conv_1, self.dense = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 1, 3, padding=1), nn.Linear(5, 1)

    def forward(self, inputs, labels=None):
        hidden = F.leaky_relu(self.conv_0(inputs), 0.2)
        return self.conv_1(hidden), self.dense(hidden.mean(dim=(2, 3)))


def unetgan_step():
    """`GAN_training_function` with the options of training_scripts/train_ffhq.sh, without and then with a mixed batch."""
    masks = np.random.default_rng(6).integers(0, 2, (BATCH, 1, 2, 2)).repeat(4, 2).repeat(4, 3).astype(np.float32)
    with unetgan() as (module, train_fns, _):
        generator, discriminator = initialise(Generator(), "generator"), initialise(PixelDiscriminator(), "discriminator")
        synthesize = generator.synthesize
        generator.forward = lambda latents, embedded: synthesize(latents)
        generator.shared, generator.fp16, discriminator.fp16 = (lambda labels: labels), False, False
        generator.optim, discriminator.optim = adam(generator, 1e-4, (0.0, 0.999)), adam(discriminator, 5e-4, (0.0, 0.999))
        config = {
            **{"toggle_grads": True, "split_D": False, "D_ortho": 0.0, "G_ortho": 0.0, "ema": False, "dataset": "FFHQ"},
            **{"num_D_steps": 1, "num_D_accumulations": 1, "num_G_accumulations": 1, "display_mixed_batch": False, "warmup_epochs": 100},
            **{"unet_mixup": True, "full_batch_mixup": True, "slow_mixup": True},
            **{"consistency_loss": False, "consistency_loss_and_augmentation": True},
        }
        draws = Draws()
        z_ = sampled(torch.zeros(BATCH, LATENT), lambda: draws.take("latents"))
        y_ = sampled(torch.zeros(BATCH, dtype=torch.int64), lambda: torch.zeros(BATCH, dtype=torch.int64))
        GD = module.G_D(generator, discriminator, config)
        train = train_fns.GAN_training_function(generator, discriminator, GD, z_, y_, None, {"itr": 0}, config)
        recorder = Recorder("unetgan", {"generator": (generator, generator.optim), "discriminator": (discriminator, discriminator.optim)})
        for number in range(STEPS):
            train(draws.take("reals"), draws.take("labels"), 0, BATCH, target_map=torch.tensor(masks), r_mixup=float(number))
            recorder.step(number)
        return recorder.end(masks=masks[:, 0])


def projected():
    """Two images of 32 pixels through `F_RandomProj` on averages of the image, and four `SingleDisc` of width 4 without spectral norm."""
    with imported("projected"):
        pool, keep = nn.AvgPool2d(2), nn.Identity()
        blocks = [keep, keep, pool, pool, keep, pool, keep, keep, keep]
        backbone = types.SimpleNamespace(conv_stem=pool, bn1=keep, act1=nn.Tanh(), blocks=blocks)
        sys.modules["timm"] = types.SimpleNamespace(create_model=lambda *_, **__: backbone)
        try:
            importlib.import_module("pg_modules.blocks").conv2d = nn.Conv2d
            projection = importlib.import_module("pg_modules.projector").F_RandomProj(cout=4)
            single = importlib.import_module("pg_modules.discriminator").SingleDisc
        finally:
            del sys.modules["timm"]
        discs = [single(nc=nc, ndf=4, start_sz=side, end_sz=min(side, 8)) for nc, side in zip((4, 4, 8, 16), (32, 16, 8, 4), strict=True)]
        rng, arrays = np.random.default_rng(12), {}

        def fill(value, scale=0.3, center=0.0):
            value.data.copy_(torch.tensor(center + scale * rng.normal(size=tuple(value.shape))))

        for level in range(4):
            for name, conv in (("channels", f"layer{level}_ccm"), ("scales", f"layer{level}_csm")):
                layer = getattr(projection.scratch, conv)
                layer = layer if name == "channels" else layer.out_conv
                fill(layer.weight)
                fill(layer.bias)
                arrays[f"projection/mixing/{name}_{level}_kernel"] = layer.weight.detach()[:, :, 0, 0].T
                arrays[f"projection/mixing/{name}_{level}_bias"] = layer.bias.detach()
        named = {}
        for scale, disc in enumerate(discs):
            *downs, last = disc.main
            for left, block in zip(reversed(range(len(downs))), downs, strict=True):
                conv, norm, _ = block.main
                named |= {f"scale_{scale}/down_{left}/kernel": conv.weight, f"scale_{scale}/down_{left}/bias": conv.bias}
                named |= {f"scale_{scale}/norm_{left}/scale": norm.weight, f"scale_{scale}/norm_{left}/bias": norm.bias}
            named[f"scale_{scale}/output/kernel"] = last.weight
        for name, value in named.items():
            fill(value, center=1.0 if name.endswith("scale") else 0.0)
        inputs = torch.tensor(rng.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32), requires_grad=True)
        maps = projection(inputs)
        logits = torch.cat([disc(maps[str(scale)], None).view(2, -1) for scale, disc in enumerate(discs)], dim=1)
        weights = torch.tensor(rng.normal(size=tuple(logits.shape)).astype(np.float32))
        (logits * weights).sum().backward()
        arrays |= {"images": inputs.detach().permute(0, 2, 3, 1), "image_gradient": inputs.grad.permute(0, 2, 3, 1)}
        arrays |= {"logits": logits.detach(), "weights": weights, "finest": maps["0"].detach().permute(0, 2, 3, 1)}
        for name, value in named.items():
            arrays[f"params/{name}"], arrays[f"gradients/{name}"] = to_flax(name, value.detach()), to_flax(name, value.grad)
        return {f"projected/{name}": np.asarray(value) for name, value in arrays.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = stylegan2("stylegan2_geometry", GEOMETRY)
    for make in (gradient_norm, gngan, apa_control, apa, cutmix, unet, unetgan_step, projected):
        arrays |= make()
    source = f"PyTorch {torch.__version__}; " + ", ".join(
        f"{PEERS[peer][0]} {PEERS[peer][1][:7]}" for peer in ("gngan", "deceived", "unetgan", "projected", "stylegan2")
    )
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(source), **arrays)
