"""Golden values of the losses from PyTorch 2 (float64). Run by hand where PyTorch is: `python tests/golden/losses_torch.py`.

Writes losses_torch.json beside this file: values, gradients of the sum with respect to the logits, and products of the Hessian
with the vector (1, 2, 3, ...). Nothing here imports gan_jax; the formulas are PyTorch's own losses where it has them.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

REAL = [-3.0, -0.75, 0.0, 0.4, 2.5, 12.0]
FAKE = [1.5, -2.0, 0.3, -0.1, -6.0, 4.0]
SOFT_REAL, SOFT_FAKE = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2], [0.0, 0.1, 0.3, 0.2, 0.05, 0.25]


def cross_entropy(logits, target):
    target = torch.as_tensor(target).expand_as(logits)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def squares(logits, target):
    return 0.5 * F.mse_loss(logits, torch.as_tensor(target).expand_as(logits), reduction="none")


def hinge(y):  # torch's hinge of a margin of 1 for the label +1
    return F.hinge_embedding_loss(y, -torch.ones_like(y), margin=1.0, reduction="none")


def logistic(y):
    return F.soft_margin_loss(y, torch.ones_like(y), reduction="none")


def average(base):
    return {
        "discriminator": lambda real, fake: base(real - fake.mean()) + base(-(fake - real.mean())),
        "generator": lambda real, fake: base(-(real - fake.mean())) + base(fake - real.mean()),
    }


FAMILIES = {
    "minimax": {
        "discriminator": lambda real, fake: cross_entropy(real, 1.0) + cross_entropy(fake, 0.0),
        "generator": lambda real, fake: -cross_entropy(fake, 0.0),
    },
    "non_saturating": {
        "discriminator": lambda real, fake: cross_entropy(real, 1.0) + cross_entropy(fake, 0.0),
        "generator": lambda real, fake: cross_entropy(fake, 1.0),
    },
    "least_squares": {
        "discriminator": lambda real, fake: squares(real, 1.0) + squares(fake, 0.0),
        "generator": lambda real, fake: squares(fake, 1.0),
    },
    "wasserstein": {"discriminator": lambda real, fake: fake - real, "generator": lambda real, fake: -fake},
    "hinge": {"discriminator": lambda real, fake: hinge(real) + hinge(-fake), "generator": lambda real, fake: -fake},
    "relativistic": {
        "discriminator": lambda real, fake: logistic(real - fake),
        "generator": lambda real, fake: logistic(fake - real),
    },
    "relativistic_average": average(logistic),
    "relativistic_average_least_squares": average(lambda y: squares(y, 1.0)),
    "relativistic_average_hinge": average(hinge),
}


def derivatives(function):
    """Value, gradient and Hessian-vector product of the sum, by both kinds of logits."""
    real, fake = (torch.tensor(x, requires_grad=True) for x in (REAL, FAKE))
    value = function(real, fake)
    gradients = torch.autograd.grad(value.sum(), (real, fake), create_graph=True, materialize_grads=True)
    vector = torch.arange(1.0, len(REAL) + 1)
    product = sum((gradient * vector).sum() for gradient in gradients)
    hvps = [torch.zeros_like(real), torch.zeros_like(fake)]
    if product.requires_grad:
        hvps = torch.autograd.grad(product, (real, fake), materialize_grads=True)
    return {
        "value": value.tolist(),
        "real_gradient": gradients[0].tolist(),
        "fake_gradient": gradients[1].tolist(),
        "real_hvp": hvps[0].tolist(),
        "fake_hvp": hvps[1].tolist(),
    }


def reconstruction():
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(2, 3, 5, 4, generator=generator) * 2 - 1 for _ in range(2))  # NCHW
    flat = [x.flatten(2) for x in (real, fake)]
    grams = [torch.bmm(x, x.transpose(1, 2)) / (3 * 5 * 4) for x in flat]
    mean, log_variance = (torch.randn(2, 6, generator=generator) for _ in range(2))
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(torch.zeros(2, 6), torch.ones(2, 6))).sum(1)
    logits, labels = torch.randn(4, 5, generator=generator) * 3, torch.tensor([0, 3, 4, 1])
    return {
        "real": real.permute(0, 2, 3, 1).tolist(),
        "fake": fake.permute(0, 2, 3, 1).tolist(),
        "l1": F.l1_loss(real, fake, reduction="none").mean((1, 2, 3)).tolist(),
        "l2": F.mse_loss(real, fake, reduction="none").mean((1, 2, 3)).tolist(),
        "total_variation": (real.diff(dim=2).abs().sum((1, 2, 3)) + real.diff(dim=3).abs().sum((1, 2, 3))).tolist(),
        "gram": grams[0].tolist(),
        "style": F.mse_loss(*grams, reduction="none").sum((1, 2)).tolist(),
        "feature_matching": F.mse_loss(real.mean(0), fake.mean(0), reduction="sum").item(),
        "mean": mean.tolist(),
        "log_variance": log_variance.tolist(),
        "kl": kl.tolist(),
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "classifier": F.cross_entropy(logits, labels, reduction="none").tolist(),
        "classifier_smooth": F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1).tolist(),
    }


if __name__ == "__main__":
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    golden = {
        "source": f"PyTorch {torch.__version__}, tests/golden/losses_torch.py",
        "real_logits": REAL,
        "fake_logits": FAKE,
        "soft_real": SOFT_REAL,
        "soft_fake": SOFT_FAKE,
        "soft_cross_entropy": (cross_entropy(real, SOFT_REAL) + cross_entropy(fake, SOFT_FAKE)).tolist(),
        "soft_least_squares": (squares(real, SOFT_REAL) + squares(fake, SOFT_FAKE)).tolist(),
        "adversarial": {name: {player: derivatives(function) for player, function in family.items()} for name, family in FAMILIES.items()},
        "reconstruction": reconstruction(),
    }
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1))
