"""What the cases of steps_torch.py share: the peers, the tiny networks, the draws, and access to the code of a peer."""

import contextlib
import pathlib
import sys
import textwrap
import types
from unittest import mock

import numpy as np
import torch
import torch._dynamo  # the optimisers import it late, when stubs are in place
import torch.nn.functional as F
from torch import nn

ROOT = pathlib.Path(sys.argv[1])
PEERS = {
    "mimicry": ("kwotsin+mimicry", "a7fda06c4aff1e6af8dc4c4a35ed6636e434c766"),
    "biggan": ("ajbrock+BigGAN-PyTorch", "98459431a5d618d644d54cd1e9fceb1e5045648d"),
    "r3gan": ("brownvc+R3GAN", "19a7ddf463fbac2bd39b4c1c73d63f1c441c7403"),
    "stylegan2": ("NVlabs+stylegan2-ada-pytorch", "d72cc7d041b42ec8e806021a205ed9349f87c6a4"),
    "diffaugment": ("mit-han-lab+data-efficient-gans", "0b6339510be1e3859d360cbf464d0a425514a6b4"),
    "lecam": ("google+lecam-gan", "f9af9485eda4637b25e694c142ce8e6992eb7243"),
    "pytorch_gan": ("eriklindernoren+PyTorch-GAN", "36d3c77e5ff20ebe0aeefd322326a134a279b93e"),
    "relativistic": ("AlexiaJM+RelativisticGAN", "2646c0b27cfd42c20fcecaf4005c3d67322fdf4a"),
    "infogan": ("openai+InfoGAN", "6e41232332672844f539c9fbf46d230f3d5b0699"),
    "pggan": ("tkarras+progressive_growing_of_gans", "2504c3f3cb98ca58751610ad61fa1097313152bd"),
    "gngan": ("basiclab+GNGAN-PyTorch", "b3205840928f7c3077b44c9140091cc001d0704f"),
    "deceived": ("EndlessSora+DeceiveD", "042c5c4a4e65b20866cba89e64cfb99961dd8343"),
    "unetgan": ("boschresearch+unetgan", "37adcf0330fd1fe97c88b70784ca1d5d1e5d41d6"),
    "projected": ("autonomousvision+projected-gan", "e1c246b8bdce4fac3c2bfcb69df309fc27df9b86"),
    "pix2pix": ("junyanz+pytorch-CycleGAN-and-pix2pix", "032e88438b1b2690e538c2cf399ebceb76adbea9"),
}
BATCH, STEPS, CLASSES, LATENT, ITERATIONS = 4, 2, 3, 4, 20
RNG = np.random.default_rng(0)
SHARED = {
    "reals": np.clip(0.6 * RNG.normal(size=(48, 8, 8, 3)), -1, 1).astype(np.float32),
    "labels": RNG.integers(0, CLASSES, 48),
    "latents": RNG.normal(size=(48, LATENT)).astype(np.float32),
    "coefficients": RNG.uniform(size=BATCH).astype(np.float32),
}


class Generator(nn.Module):
    """Dense layer, tanh, up-sampling, convolution, tanh. A conditional one adds an embedding of the labels to the latents."""

    def __init__(self, linear=nn.Linear, conv=nn.Conv2d, conditional=False):
        super().__init__()
        self.dense, self.conv = linear(LATENT, 64), conv(4, 3, 3, padding=1)
        self.embedding = nn.Embedding(CLASSES, LATENT) if conditional else None

    def forward(self, latents, labels=None):
        if labels is not None and self.embedding is not None:
            latents = latents + self.embedding(labels)
        return self.synthesize(latents)

    def synthesize(self, latents):
        hidden = torch.tanh(self.dense(latents)).view(-1, 4, 4, 4).permute(0, 3, 1, 2)
        return torch.tanh(self.conv(F.interpolate(hidden, scale_factor=2)))


class Discriminator(nn.Module):
    """Two convolutions with stride 2, a dense layer, and optionally a projection of the labels and a classifier."""

    def __init__(self, linear=nn.Linear, conv=nn.Conv2d, embedding=None, classifier=False, channels=3):
        super().__init__()
        self.conv_0, self.conv_1 = conv(channels, 5, 3, stride=2, padding=1), conv(5, 6, 3, stride=2, padding=1)
        self.dense = linear(24, 1)
        self.embedding = embedding(CLASSES, 24) if embedding else None
        self.classes = linear(24, CLASSES) if classifier else None

    def features(self, images):
        hidden = F.leaky_relu(self.conv_1(F.leaky_relu(self.conv_0(images), 0.2)), 0.2)
        return hidden.permute(0, 2, 3, 1).flatten(1)

    def forward(self, images, labels=None):
        features = self.features(images)
        logits = self.dense(features)
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features).sum(1, keepdim=True)
        return logits


class Translator(nn.Module):
    """G of pix2pix: two convolutions."""

    def __init__(self):
        super().__init__()
        self.conv_0, self.conv_1 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, context):
        return torch.tanh(self.conv_1(torch.tanh(self.conv_0(context))))


class PatchDiscriminator(nn.Module):
    """D of pix2pix: two convolutions with stride 2, one logit for each of 2 x 2 patches."""

    def __init__(self):
        super().__init__()
        self.conv_0, self.conv_1 = nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.Conv2d(5, 1, 3, stride=2, padding=1)

    def forward(self, pair):
        return self.conv_1(F.leaky_relu(self.conv_0(pair), 0.2))


def parameters(module):
    """Parameters by their names in Flax, layer/kernel, layer/bias or layer/embedding, in the order of their names."""
    named = {}
    for name, value in module.named_parameters():
        layer, _, kind = name.rpartition(".")
        if kind == "weight":
            kind = "embedding" if isinstance(module.get_submodule(layer), nn.Embedding) else "kernel"
        named[layer, kind] = value
    return {f"{layer}/{kind}": named[layer, kind] for layer, kind in sorted(named)}


def to_flax(name, value):
    """A kernel in the layout of Flax, (height, width, in, out) or (in, out). Other parameters do not change."""
    if not name.endswith("kernel"):
        return value
    return value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T


def vector(module, of=lambda parameter: parameter):
    """All parameters, or a function of them, in one vector."""
    leaves = [to_flax(name, of(parameter).detach()).flatten() for name, parameter in parameters(module).items()]
    return torch.cat(leaves).numpy().copy()


def initialise(module, player):
    """Weights that depend on the player and the name only, and converged vectors of spectral normalisation."""
    for name, parameter in parameters(module).items():
        rng = np.random.default_rng([ord(letter) for letter in f"{player}/{name}"])
        scale = {"bias": 0.1, "embedding": 1.0}.get(name.rpartition("/")[2], 0.8 / np.sqrt(max(1, parameter[0].numel())))
        parameter.data.copy_(torch.tensor(scale * rng.normal(size=tuple(parameter.shape)), dtype=torch.float32))
    for layer in module.modules():
        for buffer in ("sn_u", "u0"):
            if hasattr(layer, buffer):
                left = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)[0]
                getattr(layer, buffer).copy_(left[:, 0])
    return module


class Recorder:
    """Collects what a case writes into the file."""

    def __init__(self, case, players):
        self.case, self.players, self.arrays, self.last = case, players, {}, {}
        for player, (module, optimizer) in players.items():
            self._put(f"start/{player}", vector(module))
            optimizer.register_step_pre_hook(lambda *_, player=player, module=module: self._remember(player, module))

    def _remember(self, player, module):
        self.last[player] = vector(module, lambda parameter: parameter.grad)

    def _put(self, name, value):
        self.arrays[f"{self.case}/{name}"] = np.asarray(value)

    def step(self, number):
        """Records the gradients of the last update of each player."""
        for player, gradients in self.last.items():
            self._put(f"gradients_{number}/{player}", gradients)

    def end(self, average=None, **more):
        """Records the parameters after the last step."""
        for player, (module, _) in self.players.items():
            self._put(f"end/{player}", vector(module))
        if average is not None:
            self._put("average/generator", vector(average))
        for name, value in more.items():
            self._put(name, value)
        return self.arrays


class Draws:
    """Hands out reals, labels and latents in order."""

    def __init__(self):
        self.position = {"reals": 0, "latents": 0, "labels": 0}

    def take(self, name, count=BATCH):
        start = self.position[name]
        self.position[name] += count
        taken = torch.tensor(SHARED[name][start : start + count])
        assert len(taken) == count
        return taken.permute(0, 3, 1, 2).contiguous() if name == "reals" else taken


class Sampled(torch.Tensor):
    """A tensor whose `sample_` fills it with the next draws, for the z_ and y_ of BigGAN's training function."""

    def sample_(self):
        self.copy_(self.draw())


def sampled(value, draw):
    tensor = value.as_subclass(Sampled)
    tensor.draw = draw
    return tensor


def stylegan2_loss(module, generator, discriminator, pipe):
    """`StyleGAN2Loss` of a peer's training.loss for the tiny networks, without style mixing and path lengths."""

    class Mapping(nn.Module):
        def forward(self, latents, conditions, skip_w_avg_update=False):
            return latents

    class Critic(nn.Module):
        def forward(self, images, conditions):
            return discriminator(images)

    options = {"style_mixing_prob": 0, "r1_gamma": 0.5, "pl_weight": 0}
    return module.StyleGAN2Loss("cpu", Mapping(), generator, Critic(), augment_pipe=pipe, **options)


def discriminator_phases(number):
    """The phases of D in a train step with their gains: R1 in the first of 16 steps."""
    return {"Dmain": 1} | ({"Dreg": 16} if number % 16 == 0 else {})


def update_in_phases(loss, module, optimizer, real, latents, phases):
    """One optimiser step with the sum of the gradients of all phases, as in training/training_loop.py."""
    optimizer.zero_grad(set_to_none=True)
    module.requires_grad_(True)
    for name, gain in phases.items():
        loss.accumulate_gradients(name, real, None, latents, None, sync=True, gain=gain)
    module.requires_grad_(False)
    optimizer.step()


def adam(module, lr, betas, eps=1e-8):
    return torch.optim.Adam(module.parameters(), lr=lr, betas=betas, eps=eps)


STUBS = (
    *("torchvision", "torchvision.transforms", "torchvision.datasets", "torchvision.utils", "tqdm", "animal_hash", "datasets"),
    *("third_party.datasets", "torch.utils.tensorboard", "PIL", "PIL.Image", "matplotlib", "matplotlib.pyplot"),
    *("tensorflow", "prettytensor", "progressbar", "infogan.models.regularized_gan", "infogan.misc.distributions"),
    "tfutil",
)


@contextlib.contextmanager
def imported(peer, *folders, packages=()):
    """Makes the modules of a peer importable, and forgets them afterwards. Libraries that a step does not use are replaced by stubs."""
    before, path = dict(sys.modules), list(sys.path)
    root = ROOT / PEERS[peer][0]
    sys.path[:0] = [str(root / folder) for folder in folders or (".",)]
    for name in STUBS:
        sys.modules[name] = mock.MagicMock()
    for name in packages:  # packages whose __init__ would import what a step does not use
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root / name.replace(".", "/"))]
    try:
        yield root
    finally:
        for name, module in list(sys.modules.items()):
            place = getattr(module, "__file__", None)
            if name in (*STUBS, *packages) or (isinstance(place, str) and place.startswith(str(root))):
                del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path


def lines(path, first, last):
    """Code of a peer's script, lines first to last."""
    text = path.read_text().expandtabs(4).splitlines()[first - 1 : last]
    return compile(textwrap.dedent("\n".join(text)) + "\n", f"{path.name}:{first}-{last}", "exec")
