"""Makes cyclegan_torch.npz: two steps of CycleGAN, its image pool and its schedule, by the authors' code.

    python tests/golden/cyclegan_torch.py PEERS

PEERS holds junyanz+pytorch-CycleGAN-and-pix2pix, a work tree of github.com/junyanz/pytorch-CycleGAN-and-pix2pix at commit
032e88438b1b2690e538c2cf399ebceb76adbea9 of 2019-01-01, of which models/ and util/ are enough. The commit is also in forks with the whole
history. The values were made from the one in github.com/kotobuki/pytorch-CycleGAN-and-pix2pix, which has the same hash. The script runs
the files of `FILES` unchanged, and refuses files with other hashes than git has for them in that commit.

Of models/networks.py, `ResnetGenerator`, `NLayerDiscriminator`, `GANLoss` and `get_scheduler` are run, narrow and small: `define_G` has at
least 6 blocks. Of models/cycle_gan_model.py `CycleGANModel.optimize_parameters` is run with all that it calls, of models/base_model.py
`set_requires_grad`, and `ImagePool` of util/image_pool.py. The attributes that `CycleGANModel.__init__` would read from the command line
are set here, to the authors' defaults.

Arrays: weights/<network>/<PyTorch's name> before the first step; real_A, real_B [steps, batch, channels, height, width];
gradients/<network>/<name> of the first step; after/<network>/<name> after two steps; losses/<name> of both steps; fakes and so on of
the first one. pool/... are the draws and the results of a pool. schedule is the learning rate of each epoch. As in the authors' code,
G_A translates A to B and D_A judges B.
"""

import hashlib
import importlib
import itertools
import pathlib
import random
import sys
import types

import numpy as np
import torch
from torch import nn

ROOT = pathlib.Path(sys.argv[1]) / "junyanz+pytorch-CycleGAN-and-pix2pix"
# The hashes of git for the files of the authors at the commit.
FILES = {
    "models/networks.py": "35721de6bf0c0f156df216d7457c410f9f840b07",
    "models/cycle_gan_model.py": "40ee59557ae53ebcbea85e5313281a77df504535",
    "models/base_model.py": "2b91cece9010776a41f9b7498687446f685bebf5",
    "util/image_pool.py": "52413e0f8a45a8c8511bf103d3aabd537fac97b9",
}
STEPS, BATCH, CHANNELS, SIDE, WIDTH, BLOCKS, LAYERS = 2, 2, 3, 16, 3, 1, 1
NETWORKS = ("G_A", "G_B", "D_A", "D_B")


def check_files():
    """Ends the script if a file is not the authors' one of the commit."""
    for name, expected in FILES.items():
        content = (ROOT / name).read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if found != expected:
            sys.exit(f"{ROOT / name} must be the file of commit 032e884, of hash {expected}; got {found}")


def imported(name):
    """A module of the authors' code. The packages' own __init__ would read command lines."""
    sys.path.insert(0, str(ROOT))
    for package in ("models", "util"):
        module = types.ModuleType(package)
        module.__path__ = [str(ROOT / package)]
        sys.modules[package] = module
    return importlib.import_module(name)


def steps():
    networks = imported("models.networks")
    model_class = importlib.import_module("models.cycle_gan_model").CycleGANModel
    pool_class = importlib.import_module("util.image_pool").ImagePool
    torch.manual_seed(0)
    norm = networks.get_norm_layer("instance")
    model = object.__new__(model_class)
    for letter in "AB":
        translator = networks.ResnetGenerator(CHANNELS, CHANNELS, WIDTH, norm, n_blocks=BLOCKS)
        judge = networks.NLayerDiscriminator(CHANNELS, WIDTH, LAYERS, norm)
        for network in (translator, judge):
            for parameter in network.parameters():
                nn.init.normal_(parameter, 0.0, 0.2)
        setattr(model, f"netG_{letter}", translator)
        setattr(model, f"netD_{letter}", judge)
    model.opt = types.SimpleNamespace(lambda_identity=0.5, lambda_A=10.0, lambda_B=10.0)
    model.fake_A_pool, model.fake_B_pool = pool_class(50), pool_class(50)
    model.criterionGAN = networks.GANLoss("lsgan")
    model.criterionCycle = model.criterionIdt = nn.L1Loss()
    generators = itertools.chain(model.netG_A.parameters(), model.netG_B.parameters())
    discriminators = itertools.chain(model.netD_A.parameters(), model.netD_B.parameters())
    model.optimizer_G = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999))
    model.optimizer_D = torch.optim.Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))
    arrays = {}

    def put(group, value=lambda parameter: parameter):
        for name in NETWORKS:
            for path, parameter in getattr(model, f"net{name}").named_parameters():
                arrays[f"{group}/{name}/{path}"] = value(parameter).detach().numpy().copy()

    put("weights")
    reals = 0.5 * torch.randn(2, STEPS, BATCH, CHANNELS, SIDE, SIDE)
    arrays |= {"real_A": reals[0].clamp(-1, 1).numpy(), "real_B": reals[1].clamp(-1, 1).numpy()}
    names = ("G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B")
    losses = {name: [] for name in names}
    for step in range(STEPS):
        model.real_A, model.real_B = (torch.tensor(arrays[f"real_{letter}"][step]) for letter in "AB")
        model.optimize_parameters()
        if step == 0:
            put("gradients", lambda parameter: parameter.grad)
            for name in ("fake_A", "fake_B", "rec_A", "rec_B", "idt_A", "idt_B"):
                arrays[name] = getattr(model, name).detach().numpy().copy()
        for name in names:
            losses[name].append(float(getattr(model, f"loss_{name}").detach()))
    put("after")
    return arrays | {f"losses/{name}": np.array(values) for name, values in losses.items()}


def pool():
    """A pool of 4 images that receives 12 batches of 3 numbered images."""
    pool_class = importlib.import_module("util.image_pool").ImagePool
    random.seed(0)
    draws = {"uniform": [], "randint": []}
    true = {"uniform": random.uniform, "randint": random.randint}

    def recorded(name):
        def draw(*arguments):
            draws[name].append(true[name](*arguments))
            return draws[name][-1]

        return draw

    store, results, swaps, places = pool_class(4), [], [], []
    random.uniform, random.randint = recorded("uniform"), recorded("randint")
    for number in range(12):
        batch = torch.arange(3.0).reshape(3, 1) + 3 * number
        row = []
        for image in batch:  # One at a time, as `query` does, so that the draws of each image are known.
            before = {name: len(values) for name, values in draws.items()}
            row.append(float(store.query(image[None])))
            swaps.append(draws["uniform"][-1] if len(draws["uniform"]) > before["uniform"] else 0.0)
            places.append(draws["randint"][-1] if len(draws["randint"]) > before["randint"] else 0)
        results.append(row)
    random.uniform, random.randint = true["uniform"], true["randint"]
    return {
        "pool/results": np.array(results),
        "pool/uniform": np.array(swaps).reshape(12, 3),
        "pool/places": np.array(places).reshape(12, 3),
        "pool/images": np.array([float(image) for image in store.images]),
    }


def schedule():
    """The learning rate in each of 8 epochs: 4 constant ones, then 4 of linear decay."""
    networks = importlib.import_module("models.networks")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = networks.get_scheduler(optimizer, types.SimpleNamespace(lr_policy="lambda", epoch_count=1, niter=4, niter_decay=4))
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return {"schedule": np.array(rates)}


if __name__ == "__main__":
    check_files()
    torch.set_num_threads(1)
    arrays = steps() | pool() | schedule()
    np.savez_compressed(pathlib.Path(__file__).with_suffix(".npz"), source=np.array(f"PyTorch {torch.__version__}; 032e884"), **arrays)
