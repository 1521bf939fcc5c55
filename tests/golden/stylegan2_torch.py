"""Golden values of StyleGAN2 from the authors' code: python tests/golden/stylegan2_torch.py PEERS

PEERS is a directory with a checkout of NVlabs/stylegan2-ada-pytorch, see steps_common.py. The script writes stylegan2_torch.npz and
stylegan2_G_ema.pt beside itself. Made with PyTorch 2.13.0 (CPU, float32, the reference operators). Tests read the files only.

The weights, latents and images are those of tests/support/stylegan2_golden.py. For each case the file has some pixels of the images, the
styles, the logits, and digests of two gradients, one row for each parameter in the order of their
names. That of G is the gradient of <images, direction> plus the path-length penalty of
`StyleGAN2Loss` with the moving mean at 0.5. That of D is the gradient of <logits, weights> plus the mean of R1 at gamma 2.
"""

import copy
import importlib
import pathlib
import sys
from unittest import mock

import numpy as np
import torch
from steps_common import adam, imported, lines

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from support.stylegan2_golden import BATCH, CASES, LATENT, LAYERS, STEPS, STYLE, channels, digest, inputs, thinned, weight

HERE = pathlib.Path(__file__).parent


def fill(module):
    module.load_state_dict({name: torch.tensor(weight(name, tuple(value.shape))) for name, value in module.state_dict().items()})
    return module.eval()


def networks(module, case, **more):
    size, classes = CASES[case]
    generator = module.Generator(
        LATENT, classes, STYLE, size, 3, mapping_kwargs={"num_layers": LAYERS}, synthesis_kwargs=channels(size) | more
    )
    discriminator = module.Discriminator(classes, size, 3, epilogue_kwargs={"mbstd_group_size": 2}, **channels(size) | more)
    return fill(generator), fill(discriminator)


def image(array):
    return torch.tensor(array).permute(0, 3, 1, 2).contiguous()


def numpy(images):
    return images.detach().permute(0, 2, 3, 1).numpy()


def record(module, case):
    size, classes = CASES[case]
    generator, discriminator = networks(module, case)
    given = inputs(case)
    latents, labels = torch.tensor(given["latents"]), torch.nn.functional.one_hot(torch.tensor(given["labels"]), max(classes, 1)).float()
    labels = labels if classes else torch.zeros(BATCH, 0)

    # Non-fused modulated convolutions, which training uses, and the fixed noise.
    styles = generator.mapping(latents, labels)
    styles.retain_grad()
    images = generator.synthesis(styles, noise_mode="const", fused_modconv=False)
    # loss.py, lines 80 to 89.
    noise = image(given["path_noise"]) / np.sqrt(size * size)
    gradient = torch.autograd.grad(outputs=[(images * noise).sum()], inputs=[styles], create_graph=True, only_inputs=True)[0]
    lengths = gradient.square().sum(2).mean(1).sqrt()
    mean = torch.tensor(0.5).lerp(lengths.mean(), 0.01)
    penalty = (lengths - mean).square()
    ((images * image(given["direction"])).sum() + penalty.mean()).backward()

    reals = image(given["reals"]).requires_grad_(True)
    logits = discriminator(reals, labels)[:, 0]
    # loss.py, lines 124 to 126.
    r1_gradient = torch.autograd.grad(outputs=[logits.sum()], inputs=[reals], create_graph=True, only_inputs=True)[0]
    r1 = r1_gradient.square().sum([1, 2, 3])
    ((logits * torch.tensor(given["weights"])).sum() + r1.mean()).backward()

    truncated = generator.mapping(latents, labels, truncation_psi=0.6)
    arrays = {
        "styles": styles[:, 0].detach(),
        "truncated": truncated[:, 0].detach(),
        "images": thinned(numpy(images)),
        "path_lengths": lengths.detach(),
        "path_mean": mean.detach(),
        "path_penalty": penalty.detach(),
        "logits": logits.detach(),
        "r1": r1.detach(),
    }
    for player, network in (("generator", generator), ("discriminator", discriminator)):
        arrays[f"gradient/{player}"] = digests({name: parameter.grad for name, parameter in network.named_parameters()})
    return {f"{case}/{name}": np.asarray(array) for name, array in arrays.items()}


def record_steps(module, root):
    """Two whole train steps of `StyleGAN2Loss` at 16 pixels with classes, R1, path lengths, Adam and the moving average.

    The phases are those of training/training_loop.py, lines 262 to 311, without style mixing: Gmain, Greg with gain 4 in the first of 4
    steps, Dmain, and Dreg with gain 16 in the first of 16 steps. The authors' regularisation makes optimiser steps of its own. Here
    the gradients of a player are added before one step, and Greg uses the latents of Gmain and leaves the moving mean of the styles
    alone, which is what `gan_jax` documents.
    """
    follow = lines(root / "training" / "training_loop.py", 297, 305)
    loss_module = importlib.import_module("training.loss")
    options = {"channel_base": 128, "channel_max": 8}
    generator = fill(module.Generator(LATENT, 3, STYLE, 16, 3, mapping_kwargs={"num_layers": LAYERS}, synthesis_kwargs=options)).train()
    discriminator = fill(module.Discriminator(3, 16, 3, epilogue_kwargs={"mbstd_group_size": 2}, **options)).train()
    average = copy.deepcopy(generator)
    players = {"generator": generator, "discriminator": discriminator}
    start = {player: {name: value.detach().clone() for name, value in net.named_parameters()} for player, net in players.items()}
    optimizers = {player: adam(net, 2e-3, (0.0, 0.99)) for player, net in players.items()}
    tracks = [True]

    class Mapping(torch.nn.Module):
        def forward(self, latents, labels, skip_w_avg_update=False):
            return generator.mapping(latents, labels, skip_w_avg_update=skip_w_avg_update or not tracks[0])

    class Synthesis(torch.nn.Module):
        def forward(self, styles):
            return generator.synthesis(styles, noise_mode="const")

    def phases(player, names, real, labels, latents, noise):
        optimizers[player].zero_grad(set_to_none=True)
        players[player].requires_grad_(True)
        for name, gain in names:
            tracks[0] = name != "Greg"
            with mock.patch.object(torch, "randn_like", return_value=noise):
                loss.accumulate_gradients(name, real, labels, latents, labels, sync=True, gain=gain)
        players[player].requires_grad_(False)
        gradients = digests({name: parameter.grad for name, parameter in players[player].named_parameters()})
        optimizers[player].step()
        return gradients

    loss = loss_module.StyleGAN2Loss("cpu", Mapping(), Synthesis(), discriminator, style_mixing_prob=0, r1_gamma=0.5)
    arrays = {}
    for number in range(STEPS):
        given = inputs(f"step_{number}")
        real, labels = image(given["reals"]), torch.nn.functional.one_hot(torch.tensor(given["labels"]), 3).float()
        noise = image(given["path_noise"])[: BATCH // 2]
        generator.requires_grad_(False)
        discriminator.requires_grad_(False)
        names = {"generator": [("Gmain", 1)], "discriminator": [("Dmain", 1)]}
        if number == 0:
            names["generator"].append(("Greg", 4))
            names["discriminator"].append(("Dreg", 16))
        for player in ("generator", "discriminator"):
            latents = torch.tensor(inputs(f"step_{number}/{player}")["latents"])
            arrays[f"gradient_{number}/{player}"] = phases(player, names[player], real, labels, latents, noise)
        scope = {"torch": torch, "G": generator, "G_ema": average, "batch_size": BATCH, "cur_nimg": number * BATCH}
        with torch.no_grad():
            exec(follow, scope | {"ema_kimg": 10, "ema_rampup": 1.0})
    for player, net in players.items():
        arrays[f"change/{player}"] = digests({name: value.detach() - start[player][name] for name, value in net.named_parameters()})
    arrays["average"] = digests({name: value.detach() for name, value in average.named_parameters()})
    arrays |= {"w_avg": generator.mapping.w_avg.numpy(), "path_mean": loss.pl_mean.numpy()}
    return {f"steps/{name}": np.asarray(array) for name, array in arrays.items()}


class Features(torch.nn.Module):
    """Stands in for the authors' VGG16: a convolution with stride 2, and tanh."""

    def forward(self, images, resize_images=False, return_lpips=True):
        kernel = torch.tensor(weight("features", (3, 3, 3, 4))).permute(3, 2, 0, 1)
        return torch.tanh(torch.nn.functional.conv2d(images / 127.5 - 1, kernel, stride=2)).flatten(1)


def by_shape(array, *_, **__):
    return torch.tensor(weight(f"noise/{tuple(array.shape)}", tuple(array.shape)))


def record_path_length(module):
    """`PPLSampler` at an epsilon that float32 resolves, with given latents and positions."""
    sampler = importlib.import_module("metrics.perceptual_path_length").PPLSampler
    generator, arrays = networks(module, "32")[0], {}
    latents, position = torch.tensor(weight("path/latents", (2 * BATCH, LATENT))), torch.linspace(0.1, 0.8, BATCH)
    for space in ("w", "z"):
        for crop in (False, True):
            model = sampler(generator, {"fused_modconv": False}, 0.01, space, "full", crop, Features())
            with mock.patch.multiple(torch, rand=lambda *_, **__: position, randn=lambda *_, **__: latents, randn_like=by_shape):
                arrays[f"path/{space}{'_crop' if crop else ''}"] = model(torch.zeros(BATCH, 0)).detach().numpy()
    return arrays


def record_inversion(module, root):
    """`project` of projector.py: five steps without noise on the style."""
    generator = networks(module, "32")[0]
    opened = mock.MagicMock()
    scope = {"copy": copy, "np": np, "torch": torch, "F": torch.nn.functional, "dnnlib": opened}
    exec(lines(root / "projector.py", 25, 131), scope)
    options = {"num_steps": 5, "w_avg_samples": 50, "initial_noise_factor": 0.0, "device": torch.device("cpu")}
    target = (image(inputs("32")["reals"])[0] + 1) * 127.5
    with mock.patch.object(torch.jit, "load", return_value=Features()), mock.patch.object(torch, "randn_like", by_shape):
        styles = scope["project"](generator, target, **options)
    return {"inversion/styles": styles[:, 0].numpy()}


def digests(arrays):
    return np.stack([digest(name, arrays[name]) for name in sorted(arrays)])


def record_low_precision(root):
    """Images and logits with bfloat16 in place of the authors' float16, which brings their clamp and their pre-normalisation."""
    text = (root / "training" / "networks.py").read_text(encoding="utf-8-sig").replace("torch.float16", "torch.bfloat16")
    module = type(sys)("networks_bfloat16")
    sys.modules[module.__name__] = module
    # The persistence decorator reads the source of its module from a file.
    exec(compile(text.replace("@persistence.persistent_class", ""), "networks.py", "exec"), module.__dict__)
    case, arrays = "32", {}
    given = inputs(case)
    for clamp in (256, 0.5):
        generator, discriminator = networks(module, case, num_fp16_res=2, conv_clamp=clamp)
        with torch.no_grad():
            images = generator(torch.tensor(given["latents"]), torch.zeros(BATCH, 0), noise_mode="const", fused_modconv=False)
            logits = discriminator(image(given["reals"]), torch.zeros(BATCH, 0))[:, 0]
        arrays |= {f"bfloat16/{clamp}/images": thinned(numpy(images)), f"bfloat16/{clamp}/logits": logits.numpy()}
    return arrays


def record_upfirdn2d():
    """`_upfirdn2d_ref` with factors, paddings and filters, and its gradient."""
    ops, arrays = importlib.import_module("torch_utils.ops.upfirdn2d"), {}
    for name, taps, options in (
        ("up", [1, 3, 3, 1], {"up": 2, "padding": [2, 1, 2, 1], "gain": 4}),
        ("down", [1, 3, 3, 1], {"down": 2, "padding": [1, 1, 1, 1]}),
        ("both", [1, 2, 4], {"up": 3, "down": 2, "padding": [3, -1, 0, 2]}),
        ("plane", [[1, 2, 0], [0, 1, 5]], {"up": 2, "down": 3, "padding": [2, 2, 1, 3]}),
        ("flipped", [1, 2, 4, 5, 0.5], {"padding": [2, 2, 2, 2], "flip_filter": True}),
    ):
        x = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 7, 6)).astype(np.float32)).requires_grad_(True)
        y = ops.upfirdn2d(x, ops.setup_filter(taps), impl="ref", **options)
        (y * torch.arange(y.numel()).view(y.shape).sin()).sum().backward()
        arrays |= {f"upfirdn2d/{name}/output": numpy(y), f"upfirdn2d/{name}/gradient": numpy(x.grad)}
    return arrays


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = {}
    with imported("stylegan2") as root:
        module = importlib.import_module("training.networks")
        for case in CASES:
            arrays |= record(module, case)
        arrays |= record_low_precision(root)
        arrays |= record_upfirdn2d()
        arrays |= record_steps(module, root)
        arrays |= record_path_length(module)
        arrays |= record_inversion(module, root)
        torch.save(networks(module, "32_conditional")[0].state_dict(), HERE / "stylegan2_G_ema.pt")
        counts = []
        for size, classes in ((1024, 0), (256, 0), (32, 10)):
            generator = module.Generator(512, classes, 512, size, 3)
            discriminator = module.Discriminator(classes, size, 3)
            counts.append([sum(p.numel() for p in net.parameters()) for net in (generator, discriminator)])
        arrays["parameters"] = np.array(counts)
        print(counts)
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), **arrays)
