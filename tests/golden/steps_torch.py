"""Golden train steps from the training code of published GANs: python tests/golden/steps_torch.py PEERS

PEERS is a directory with one checkout for each repository in steps_common.py, named OWNER+NAME, at the commit given there. The script
writes steps_torch.npz beside itself. Made with PyTorch 2.13.0 (CPU, float32). Tests read the file only.

Each case trains the tiny networks of steps_common.py for two train steps with the peer's own code: its loss, its penalties, its order of
updates and its optimiser settings. Only the networks, the reals and the draws are replaced. The file holds the gradients of the last
update of D and of G in each train step, the parameters after both steps, and the moving average of G if the peer keeps one.

The latents, reals and labels of `SHARED` are used in the order in which the peer asks for them. A conditional peer samples labels for its
fakes. Here it receives the labels of the reals, as `gan_jax` does.
"""

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
    CLASSES,
    ITERATIONS,
    LATENT,
    PEERS,
    ROOT,
    SHARED,
    STEPS,
    Discriminator,
    Draws,
    Generator,
    PatchDiscriminator,
    Recorder,
    Translator,
    adam,
    discriminator_phases,
    imported,
    initialise,
    lines,
    sampled,
    stylegan2_loss,
    update_in_phases,
)
from torch import nn


def mimicry(case):
    """torch_mimicry: `netD.train_step` n_dis times and `netG.train_step`, in the order of training/trainer.py, lines 269 to 294."""
    conditional, steps, lr = case != "sngan", {"sngan": 5, "cgan_pd": 2, "sagan": 1}[case], {"sagan": (1e-4, 4e-4)}.get(case, (2e-4, 2e-4))
    packages = ("torch_mimicry", "torch_mimicry.nets", f"torch_mimicry.nets.{case}", "torch_mimicry.nets.gan", "torch_mimicry.training")
    with imported("mimicry", packages=packages):
        base = importlib.import_module(f"torch_mimicry.nets.{case}.{case}_base")
        layers = importlib.import_module("torch_mimicry.modules.spectral_norm")
        log = importlib.import_module("torch_mimicry.training.metric_log").MetricLog()
        prefix = {"sngan": "SNGAN", "cgan_pd": "CGANPD", "sagan": "SAGAN"}[case]
        draws, labels = Draws(), []
        shape = {"num_classes": CLASSES} if conditional else {}

        class G(getattr(base, f"{prefix}BaseGenerator")):
            def __init__(self):
                super().__init__(nz=LATENT, ngf=4, bottom_width=4, **shape)
                spectral = {"linear": layers.SNLinear, "conv": layers.SNConv2d} if case == "sagan" else {}
                self.net = Generator(conditional=conditional, **spectral)

            def forward(self, latents, labels=None):
                return self.net(latents, labels)

            def generate_images(self, num_images, device=None):
                return self(draws.take("latents", num_images))

            def generate_images_with_labels(self, num_images, c=None, device=None):
                return self(draws.take("latents", num_images), labels[-1]), labels[-1]

        class D(getattr(base, f"{prefix}BaseDiscriminator")):
            def __init__(self):
                super().__init__(ndf=4, **shape)
                self.net = Discriminator(layers.SNLinear, layers.SNConv2d, layers.SNEmbedding if conditional else None)

            def forward(self, images, labels=None):
                return self.net(images, labels)

        generator, discriminator = G(), D()
        for player, module in (("generator", generator), ("discriminator", discriminator)):
            initialise(module.net, player)
            for layer in module.modules():
                layer.num_iters = ITERATIONS
        optimizers = adam(generator, lr[0], (0.0, 0.9)), adam(discriminator, lr[1], (0.0, 0.9))
        recorder = Recorder(case, {"generator": (generator.net, optimizers[0]), "discriminator": (discriminator.net, optimizers[1])})
        for number in range(STEPS):
            for _ in range(steps):
                real = draws.take("reals"), draws.take("labels")
                labels.append(real[1])
                discriminator.train_step(real_batch=real, netG=generator, optD=optimizers[1], log_data=log)
            generator.train_step(real_batch=real, netD=discriminator, optG=optimizers[0], log_data=log)
            recorder.step(number)
        return recorder.end()


def biggan_players(linear=nn.Linear, conv=nn.Conv2d, embedding=nn.Embedding, spectral_generator=False):
    """G and D with what BigGAN's training function reads from them."""
    generator = Generator(*((linear, conv) if spectral_generator else ()), conditional=True)
    synthesize = generator.synthesize
    generator.forward = lambda latents, embedded: synthesize(latents + embedded)
    object.__setattr__(generator, "shared", generator.embedding)
    discriminator = Discriminator(linear, conv, embedding)
    generator.fp16 = discriminator.fp16 = False
    initialise(generator, "generator")
    initialise(discriminator, "discriminator")
    return generator, discriminator


def biggan_train(case, peer, folders, options, train_fns_name="train_fns", biggan_name="BigGAN", layers_name=None, anchors=None):
    """`train_fns.GAN_training_function` of BigGAN-PyTorch and of the repositories that are made from it, with `BigGAN.G_D`."""
    with imported(peer, *folders):
        train_fns = importlib.import_module(train_fns_name)
        kind = {}
        if layers_name:
            layers = importlib.import_module(layers_name)
            kind = {"linear": layers.SNLinear, "conv": layers.SNConv2d, "embedding": layers.SNEmbedding, "spectral_generator": True}
        generator, discriminator = biggan_players(**kind)
        for layer in (*generator.modules(), *discriminator.modules()):
            layer.num_itrs = ITERATIONS
        generator.optim, discriminator.optim = adam(generator, 1e-4, (0.0, 0.999)), adam(discriminator, 4e-4, (0.0, 0.999))
        GD = importlib.import_module(biggan_name).G_D(generator, discriminator)
        draws, size = Draws(), options["batch_size"]
        config = {"toggle_grads": True, "split_D": False, "D_ortho": 0.0, "G_ortho": 0.0, "ema": False, "fix_G": False, "CR": 0} | options
        chunks = config["num_D_steps"] * config["num_D_accumulations"]
        labels, state, more = [], {"itr": options.get("itr", 0)}, {}
        z_ = sampled(torch.zeros(size, LATENT), lambda: draws.take("latents", size))
        y_ = sampled(torch.zeros(size, dtype=torch.int64), lambda: labels.pop(0))
        utils = train_fns.utils
        average = copy.deepcopy(generator) if config["ema"] else None
        ema = utils.ema(generator, average, config["ema_decay"], config["ema_start"]) if config["ema"] else None
        extra = ()
        if anchors is not None:
            losses = utils.ema_losses(decay=anchors["decay"], start_itr=anchors["start"])
            losses.D_real, losses.D_fake = anchors["real"], anchors["fake"]
            extra = (losses,)
        train = train_fns.GAN_training_function(generator, discriminator, GD, z_, y_, ema, state, config, *extra)
        recorder = Recorder(case, {"generator": (generator, generator.optim), "discriminator": (discriminator, discriminator.optim)})
        fixed = FixedDraws()
        with mock.patch("torch.rand", new=fixed.rand), mock.patch("torch.randint", new=fixed.randint):
            for number in range(STEPS):
                state["itr"] += 1
                images, classes = draws.take("reals", chunks * size), draws.take("labels", chunks * size)
                # Labels of the fakes of each chunk of D, and of G: those of the last update of D.
                labels[:] = list(classes.split(size))
                labels += labels[-config["num_G_accumulations"] :]
                train(images, classes)
                recorder.step(number)
        if extra:
            more = {"anchors": [extra[0].D_real, extra[0].D_fake]}
        return recorder.end(average, **more)


class FixedDraws:
    """DiffAugment's draws: the same for every batch, for reals and for fakes, in the order in which the policy asks for them."""

    def __init__(self):
        self.uniform = [np.random.default_rng(seed).uniform(size=BATCH).astype(np.float32) for seed in range(3)]
        ranges = ((-1, 2), (-1, 2), (0, 9), (0, 9))
        self.integers = [np.random.default_rng(3 + n).integers(low, high, BATCH) for n, (low, high) in enumerate(ranges)]
        self.calls = {"uniform": 0, "integers": 0}

    def _next(self, name, count):
        values = getattr(self, name)
        value = values[self.calls[name] % len(values)]
        self.calls[name] += 1
        return torch.tensor(np.tile(value, count // BATCH))

    def rand(self, count, *shape, dtype=None, device=None):
        return self._next("uniform", count).view(count, *shape)

    def randint(self, low, high, size, device=None):
        value = self._next("integers", size[0])
        assert low <= value.min()
        assert value.max() < high
        return value.view(size)


def biggan():
    """BigGAN-PyTorch, train_fns.py: two updates of D, each of two accumulated chunks, spectral norm, orthogonal regularisation, EMA."""
    options = {"batch_size": BATCH // 2, "num_D_steps": 2, "num_D_accumulations": 2, "num_G_accumulations": 2, "G_ortho": 0.02}
    options |= {"ema": True, "ema_decay": 0.9, "ema_start": 2}
    return biggan_train("biggan", "biggan", (), options, layers_name="layers")


def diffaugment():
    """data-efficient-gans, DiffAugment-biggan-cifar/train_fns.py with the policy color,translation,cutout."""
    options = {"batch_size": BATCH, "num_D_steps": 2, "num_D_accumulations": 1, "num_G_accumulations": 1}
    options |= {"DiffAugment": "color,translation,cutout", "CR_augment": None}
    arrays = biggan_train("diffaugment", "diffaugment", ("DiffAugment-biggan-cifar", "."), options)
    return arrays | {f"diffaugment/{kind}": np.stack(getattr(FixedDraws(), kind)) for kind in ("uniform", "integers")}


def lecam():
    """lecam-gan, third_party/train_fns.py and biggan_cifar/losses.py, after the start step, with given anchors."""
    options = {"batch_size": BATCH, "num_D_steps": 1, "num_D_accumulations": 1, "num_G_accumulations": 1, "LC": 0.3, "DiffAugment": ""}
    anchors = {"decay": 0.99, "start": 5, "real": 0.4, "fake": -0.3}
    names = ("third_party.train_fns", "third_party.BigGAN")
    return biggan_train("lecam", "lecam", ("biggan_cifar", "."), options | {"itr": 10}, *names, anchors=anchors)


def pytorch_gan(case):
    """PyTorch-GAN: the bodies of the training loops of gan.py, lsgan.py, acgan.py, wgan.py and wgan_gp.py."""
    folder = ROOT / PEERS["pytorch_gan"][0] / "implementations" / case
    first, last = {"gan": (124, 161), "lsgan": (145, 182), "acgan": (170, 223), "wgan": (119, 158), "wgan_gp": (149, 193)}[case]
    code = lines(folder / f"{case}.py", first, last)
    draws, labels = Draws(), []
    generator = initialise(Generator(conditional=case == "acgan"), "generator")
    discriminator = initialise(Discriminator(classifier=case == "acgan"), "discriminator")
    optimizers = adam(generator, 2e-4, (0.5, 0.999)), adam(discriminator, 2e-4, (0.5, 0.999))
    if case == "wgan":
        optimizers = tuple(torch.optim.RMSprop(module.parameters(), lr=5e-5) for module in (generator, discriminator))
    recorder = Recorder(case, {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})

    def judge(images):
        logits = discriminator(images)
        if case in ("lsgan", "wgan", "wgan_gp"):
            return logits
        return (torch.sigmoid(logits), discriminator.classes(discriminator.features(images))) if case == "acgan" else torch.sigmoid(logits)

    judge.parameters = discriminator.parameters
    random = types.SimpleNamespace(
        normal=lambda low, high, shape: draws.take("latents").numpy(),
        random=lambda shape: SHARED["coefficients"].reshape(shape),
        randint=lambda low, high, count: labels[-1].numpy(),
    )
    numpy = types.SimpleNamespace(random=random, concatenate=np.concatenate, mean=np.mean, argmax=np.argmax)

    def tensor(*value):
        return torch.tensor(value[0]) if isinstance(value[0], np.ndarray) else torch.zeros(*value)

    scope = {
        **{"generator": generator, "discriminator": judge, "optimizer_G": optimizers[0], "optimizer_D": optimizers[1], "np": numpy},
        **{
            "adversarial_loss": nn.MSELoss() if case == "lsgan" else nn.BCELoss(),
            "auxiliary_loss": nn.CrossEntropyLoss(),
            "torch": torch,
            "autograd": torch.autograd,
        },
        **{"Variable": lambda value, requires_grad=False: value, "lambda_gp": 10, "epoch": 0, "batches_done": 1, "dataloader": []},
        "opt": types.SimpleNamespace(latent_dim=LATENT, n_classes=CLASSES, n_critic=5, clip_value=0.01, sample_interval=10**9, n_epochs=1),
    }

    def kind(images):
        return types.SimpleNamespace(type=lambda _: images, size=images.size, shape=images.shape)

    scope |= {"Tensor": tensor, "FloatTensor": tensor, "LongTensor": lambda value: torch.as_tensor(value)}
    if case == "wgan_gp":
        exec(lines(folder / "wgan_gp.py", 119, 138), scope)
    for number in range(STEPS):
        # With n_critic = 5 the script updates G after the discriminator updates 0, 5, 10 ... The cases start after update 0.
        for i in range(1, 6) if case.startswith("wgan") else [0]:
            images = draws.take("reals")
            labels.append(draws.take("labels"))
            exec(code, scope | {"imgs": kind(images), "labels": kind(labels[-1]), "i": i})
        recorder.step(number)
    return recorder.end()


class Latents:
    """The tensor z of RelativisticGAN, which is filled by `z.data.resize_(count, ...).normal_(0, 1)`."""

    def __init__(self, draws):
        self.draws, self.data, self.value = draws, self, None

    def resize_(self, count, *shape):
        self.count = count
        return self

    def normal_(self, mean, deviation):
        self.value = self.draws.take("latents", self.count)


class Coefficients(torch.Tensor):
    """The tensor u of RelativisticGAN, which is filled by `u.uniform_(0, 1)`."""

    def uniform_(self, low, high):
        return self.copy_(torch.tensor(SHARED["coefficients"]).view(-1, 1, 1, 1))


def relativistic(case):
    """RelativisticGAN, GAN_losses_iter.py, lines 567 to 712: RaSGAN with its gradient penalty, and RSGAN, RaLSGAN, RaHingeGAN without.

    `pac_wgan_gp` is WGAN-GP with packs of two, GAN_losses_iter_PAC.py. There G's update uses the fakes of D's update.
    """
    packs = 2 if case == "pac_wgan_gp" else 1
    name = "GAN_losses_iter.py" if packs == 1 else "GAN_losses_iter_PAC.py"
    code, draws = lines(ROOT / PEERS["relativistic"][0] / "code" / name, 567, 712 if packs == 1 else 711), Draws()
    generator, discriminator = initialise(Generator(), "generator"), initialise(Discriminator(channels=3 * packs), "discriminator")
    optimizers = adam(generator, 1e-4, (0.5, 0.999)), adam(discriminator, 1e-4, (0.5, 0.999))
    recorder = Recorder(case, {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
    reals = iter(lambda: draws.take("reals", packs * BATCH), None)

    class G:
        def __call__(self, z):
            return generator(z.value)

        def zero_grad(self):
            generator.zero_grad()

    class D:
        parameters, zero_grad = discriminator.parameters, discriminator.zero_grad

        def __call__(self, images):
            return discriminator(images).view(-1)

    loss = {"rsgan": 5, "ragan_gp": 6, "ralsgan": 7, "rahinge": 8, "pac_wgan_gp": 3}[case]
    scope = {
        **{"G": G(), "D": D(), "optimizerG": optimizers[0], "optimizerD": optimizers[1], "random_sample": reals, "i": 1},
        **{name: torch.zeros(BATCH, 3 * packs, 8, 8) for name in ("x", "x_fake")},
        **{"y": torch.zeros(BATCH), "y2": torch.zeros(BATCH), "z": Latents(draws)},
        **{"u": torch.zeros(BATCH, 1, 1, 1).as_subclass(Coefficients), "grad_outputs": torch.ones(BATCH)},
        **{"BCE_stable": nn.BCEWithLogitsLoss(), "torch": torch, "Variable": torch.autograd.Variable},
        "param": types.SimpleNamespace(
            **{"cuda": False, "show_graph": False, "batch_size": BATCH, "loss_D": loss, "Diters": 1, "Giters": 1, "z_size": LATENT},
            **{"penalty": 10, "grad_penalty": case == "ragan_gp"},
        ),
    }
    for number in range(STEPS):
        exec(code, scope)
        recorder.step(number)
    return recorder.end()


def r3gan():
    """R3GAN: `R3GANLoss.accumulate_gradients` for D and G, optimiser and average as in training/training_loop.py, lines 283 to 350."""
    with imported("r3gan") as root:
        follow = lines(root / "training" / "training_loop.py", 350, 355)
        loss_module = importlib.import_module("training.loss")
        generator, discriminator = initialise(Generator(), "generator"), initialise(Discriminator(), "discriminator")

        def critic(images, conditions):
            return discriminator(images).view(-1)

        loss, draws, average = loss_module.R3GANLoss(generator, critic), Draws(), copy.deepcopy(generator)
        optimizers = adam(generator, 2e-4, (0.0, 0.9)), adam(discriminator, 2e-4, (0.0, 0.9))
        recorder = Recorder("r3gan", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        for number in range(STEPS):
            for phase, module, optimizer in (("D", discriminator, optimizers[1]), ("G", generator, optimizers[0])):
                optimizer.zero_grad(set_to_none=True)
                module.requires_grad_(True)
                real, latents = draws.take("reals"), draws.take("latents")
                loss.accumulate_gradients(phase=phase, real_img=real, real_c=None, gen_z=latents, gamma=2.0, gain=1.0)
                module.requires_grad_(False)
                optimizer.step()
            scope = {"torch": torch, "G": generator, "G_ema": average, "batch_size": BATCH, "cur_ema_nimg": 10.0}
            with torch.no_grad():
                exec(follow, scope)
            recorder.step(number)
        return recorder.end(average)


class Matrices:
    """`translate2d` of the authors' augment.py, which remembers the composed matrix of the first call in a pass of the pipe.

    Before it, the matrix maps output pixels to input pixels. Afterwards it includes the padding.
    """

    def __init__(self, original):
        self.original, self.found = original, None

    def __call__(self, tx, ty, **options):
        caller = sys._getframe(1)
        if self.found is None and caller.f_code.co_name == "forward" and "mx0" in caller.f_locals:
            self.found = caller.f_locals["G_inv"].clone()
        return self.original(tx, ty, **options)


def sample_backward(ctx, gradient, images, grid):
    """`_GridSample2dBackward.forward` of the authors' grid_sample_gradfix.py with the operator's arguments of PyTorch 2."""
    found = torch.ops.aten.grid_sampler_2d_backward(gradient, images, grid, 0, 0, False, [True, True])
    ctx.save_for_backward(grid)
    return found


def stylegan2(case="stylegan2", geometry=()):
    """StyleGAN2-ADA: `StyleGAN2Loss.accumulate_gradients` with the colour operations of its `AugmentPipe` at p = 0.6.

    The phases are those of training/training_loop.py, lines 262 to 311, without style mixing and path lengths: Gmain, Dmain, and Dreg
    with gain 16 in the first of 16 steps. Its lazy regularisation makes an optimiser step of its own. Here the gradients of Dmain and
    Dreg are added before one step, which is what `gan_jax` documents.

    `geometry` names blits and geometric operations, which come first. R1 differentiates grid_sample twice. The authors' code does this
    with an operator of PyTorch 1, see `sample_backward`.
    """
    with imported("stylegan2") as root:
        follow = lines(root / "training" / "training_loop.py", 297, 305)
        loss_module, augment = importlib.import_module("training.loss"), importlib.import_module("training.augment")
        generator, discriminator = initialise(Generator(), "generator"), initialise(Discriminator(), "discriminator")
        sampling = importlib.import_module("torch_utils.ops.grid_sample_gradfix")
        sampling._should_use_custom_op = lambda: True
        sampling._GridSample2dBackward.forward = staticmethod(sample_backward)
        augment.translate2d = matrices = Matrices(augment.translate2d)
        pipe = augment.AugmentPipe(brightness=1, contrast=1, lumaflip=1, hue=1, saturation=1, **dict.fromkeys(geometry, 1))
        pipe.p.fill_(0.6)

        def fixed(images):
            torch.manual_seed(7)
            return pipe(images)

        loss = stylegan2_loss(loss_module, generator, discriminator, fixed)
        optimizers, draws, average = (
            (adam(generator, 2e-3, (0.0, 0.99)), adam(discriminator, 2e-3, (0.0, 0.99))),
            Draws(),
            copy.deepcopy(generator),
        )
        recorder = Recorder(case, {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})

        for number in range(STEPS):
            real, latents = draws.take("reals"), {"D": draws.take("latents"), "G": draws.take("latents")}
            update_in_phases(loss, generator, optimizers[0], real, latents["G"], {"Gmain": 1})
            update_in_phases(loss, discriminator, optimizers[1], real, latents["D"], discriminator_phases(number))
            scope = {"torch": torch, "G": generator, "G_ema": average, "batch_size": BATCH, "cur_nimg": number * BATCH}
            with torch.no_grad():
                exec(follow, scope | {"ema_kimg": 10, "ema_rampup": 1.0})
            recorder.step(number)

        def recolored(color):
            return fixed(color.view(1, 3, 1, 1).expand(BATCH, 3, 8, 8))[:, :, 4, 4]

        # The colour matrices of the draws, read off constant images.
        offset = recolored(torch.zeros(3))
        columns = [recolored(color) - offset for color in torch.eye(3)]
        colors = torch.eye(4).repeat(BATCH, 1, 1)
        colors[:, :3] = torch.stack([*columns, offset], dim=2)
        seen = fixed(torch.tensor(SHARED["reals"][:BATCH]).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        more = {"matrices": matrices.found, "seen": seen} if geometry else {}
        return recorder.end(average, colors=colors, **more)


def infogan():
    """InfoGAN's authors' code: the losses of `InfoGANTrainer.init_opt`, on PyTorch's mean and log instead of TensorFlow's.

    `init_opt` runs once for each run of the session in `train`: for D's update, then for G's with other latents and the same reals.
    """
    with imported("infogan"):
        trainer = importlib.import_module("infogan.algos.infogan_trainer")
        generator = initialise(Generator(conditional=True), "generator")
        discriminator = initialise(Discriminator(classifier=True), "discriminator")
        optimizers = adam(generator, 1e-3, (0.5, 0.999)), adam(discriminator, 2e-4, (0.5, 0.999))
        recorder = Recorder("infogan", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        draws, found = Draws(), []

        def judge(images):
            info = F.log_softmax(discriminator.classes(discriminator.features(images)), dim=1)
            return torch.sigmoid(discriminator(images)), None, info, None

        discrete = types.SimpleNamespace(
            dists=[None],
            logli=lambda codes, info: info.gather(1, codes[:, None])[:, 0],
            logli_prior=lambda codes: torch.full((BATCH,), -float(np.log(CLASSES))),
        )
        model = types.SimpleNamespace(
            **{"reg_disc_latent_dist": discrete, "reg_cont_latent_dist": types.SimpleNamespace(dists=[])},
            latent_dist=types.SimpleNamespace(sample_prior=lambda count: (draws.take("latents"), labels)),
            reg_latent_dist=types.SimpleNamespace(split_dist_info=lambda info: []),
            generate=lambda z: (generator(*z), None),
            **{"discriminate": judge, "reg_z": lambda z: z[1], "disc_reg_z": lambda codes: codes, "disc_reg_dist_info": lambda info: info},
        )
        trainer.tf.reduce_mean, trainer.tf.log, trainer.tf.constant = torch.mean, torch.log, torch.tensor
        trainer.tf.trainable_variables, trainer.tf.placeholder = list, lambda kind, shape: real
        trainer.pt.apply_optimizer = lambda optimizer, losses, var_list: found.append(losses[0])
        algorithm = trainer.InfoGANTrainer(model, BATCH, dataset=mock.MagicMock())
        algorithm.visualize_all_factors = lambda: None
        for number in range(STEPS):
            real, labels = draws.take("reals"), draws.take("labels")
            for player, optimizer in enumerate((optimizers[1], optimizers[0])):
                found.clear()
                algorithm.init_opt()
                optimizer.zero_grad()
                found[player].backward()
                optimizer.step()
            recorder.step(number)
        return recorder.end()


def pggan():
    """progressive_growing_of_gans: `G_wgan_acgan` and `D_wgangp_acgan` of loss.py on PyTorch's functions instead of TensorFlow's.

    The order of updates and the betas are those of train.py and config.py. Its moving average follows in D's update, before G's. It is
    not recorded.
    """
    with imported("pggan"):
        loss = importlib.import_module("loss")
        generator, discriminator = initialise(Generator(), "generator"), initialise(Discriminator(), "discriminator")
        optimizers = adam(generator, 1e-3, (0.0, 0.99)), adam(discriminator, 1e-3, (0.0, 0.99))
        recorder = Recorder("pggan", {"generator": (generator, optimizers[0]), "discriminator": (discriminator, optimizers[1])})
        draws = Draws()
        tf, tfutil = loss.tf, loss.tfutil
        tf.cast, tf.sqrt, tf.square = lambda value, dtype: value, torch.sqrt, torch.square
        tf.random_normal = lambda shape: draws.take("latents", shape[0])
        tf.random_uniform = lambda *_, dtype: torch.tensor(1 - SHARED["coefficients"]).view(-1, 1, 1, 1)
        tf.reduce_sum = lambda value, axis=None: value.sum(axis) if axis else value.sum()
        tf.gradients = lambda value, inputs: torch.autograd.grad(value, inputs, create_graph=True)
        tfutil.autosummary, tfutil.lerp = lambda name, value: value, lambda a, b, t: a + (b - a) * t
        no_labels = types.SimpleNamespace(get_random_labels_tf=lambda count: None)
        opt = types.SimpleNamespace(apply_loss_scaling=lambda value: value, undo_loss_scaling=lambda value: value)
        G = types.SimpleNamespace(input_shapes=[[None, LATENT]], get_output_for=lambda latents, labels, is_training: generator(latents))
        D = types.SimpleNamespace(
            output_shapes=[[None, 1], [None, 0]],
            get_output_for=lambda images, is_training: (discriminator(images).view(-1), torch.zeros(0)),
        )
        for number in range(STEPS):
            real = draws.take("reals")
            optimizers[1].zero_grad()
            loss.D_wgangp_acgan(G, D, opt, no_labels, BATCH, real, None).mean().backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            loss.G_wgan_acgan(G, D, opt, no_labels, BATCH).mean().backward()
            optimizers[0].step()
            recorder.step(number)
        return recorder.end()


def pix2pix():
    """pytorch-CycleGAN-and-pix2pix: `Pix2PixModel.optimize_parameters`. A is the mean of the channels of B, instead of edges."""
    with imported("pix2pix"):
        model = object.__new__(importlib.import_module("models.pix2pix_model").Pix2PixModel)
        model.netG, model.netD = initialise(Translator(), "generator"), initialise(PatchDiscriminator(), "discriminator")
        model.opt, draws = types.SimpleNamespace(lambda_L1=100.0), Draws()
        model.fake_AB_pool = types.SimpleNamespace(query=lambda images: images)  # pool_size is 0
        model.criterionL1 = nn.L1Loss()
        # networks.GANLoss of gan_mode "vanilla".
        model.criterionGAN = lambda logits, real: F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
        model.optimizer_G, model.optimizer_D = adam(model.netG, 2e-4, (0.5, 0.999)), adam(model.netD, 2e-4, (0.5, 0.999))
        recorder = Recorder("pix2pix", {"generator": (model.netG, model.optimizer_G), "discriminator": (model.netD, model.optimizer_D)})
        for number in range(STEPS):
            model.real_B = draws.take("reals")
            model.real_A = model.real_B.mean(1, keepdim=True)
            model.optimize_parameters()
            recorder.step(number)
        return recorder.end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = {f"shared/{name}": value for name, value in SHARED.items()}
    for case in ("sngan", "cgan_pd", "sagan"):
        arrays |= mimicry(case)
    for make in (biggan, diffaugment, lecam, r3gan, stylegan2, infogan, pggan, pix2pix):
        arrays |= make()
    for case in ("gan", "lsgan", "acgan", "wgan", "wgan_gp"):
        arrays |= pytorch_gan(case)
    for case in ("rsgan", "ragan_gp", "ralsgan", "rahinge", "pac_wgan_gp"):
        arrays |= relativistic(case)
    source = f"PyTorch {torch.__version__}; " + ", ".join(f"{name} {commit[:7]}" for name, commit in PEERS.values())
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(source), **arrays)
