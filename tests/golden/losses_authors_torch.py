"""Golden values and gradients of losses from their authors' code: python tests/golden/losses_authors_torch.py PEERS

PEERS is a directory with one checkout for each repository in `PEERS` below, named OWNER+NAME, at the commit given there. The script
writes losses_authors_torch.json beside itself. Made with PyTorch 2.13.0 (CPU, float64). Tests read the file only.

- VQGAN, `VQLPIPSWithDiscriminator.calculate_adaptive_weight`: the weight of the adversarial term for given gradients.
- StudioGAN, `Data2DataCrossEntropyLoss` and `ConditionalContrastiveLoss`: the mean over the batch, and its gradients with respect to the
  embeddings and to the table of proxies.
- StudioGAN, `crammer_singer_loss`: the mean over the batch, and its gradient with respect to the class logits.
"""

import importlib
import json
import pathlib
import sys
import types
from unittest import mock

import torch
from torch import nn

ROOT = pathlib.Path(sys.argv[1])
PEERS = {
    "taming": ("CompVis+taming-transformers", "3ba01b241669f5ade541ce990f7650a3b8f65318"),
    "studiogan": ("POSTECH-CVLab+PyTorch-StudioGAN", "947b35e9835b67860fdce44d337f6d7fee7c8db3"),
}


class NoLPIPS(nn.Module):
    """Replaces the perceptual distance, whose weights would be downloaded. The losses below do not use it."""


def vqgan_loss_module():
    """The module of VQGAN's loss without LPIPS."""
    sys.path.insert(0, str(ROOT / PEERS["taming"][0]))
    sys.modules["taming.modules.losses.lpips"] = types.SimpleNamespace(LPIPS=NoLPIPS)
    return importlib.import_module("taming.modules.losses.vqperceptual")


def studiogan_losses():
    """The module of StudioGAN's losses without its CUDA operators."""
    sys.path.insert(0, str(ROOT / PEERS["studiogan"][0] / "src"))
    sys.modules["utils.style_ops"] = mock.MagicMock()
    return importlib.import_module("utils.losses")


def adaptive(module):
    """Weights for gradients of one layer: usual ones, a tiny and a zero adversarial gradient, and a zero task gradient."""
    generator, rows = torch.Generator().manual_seed(0), []
    for task_scale, adversarial_scale, weight in ((1.0, 0.3, 1.0), (0.01, 2.0, 0.8), (1.0, 1e-5, 1.0), (3.0, 0.0, 0.8), (0.0, 1.0, 1.0)):
        loss = module.VQLPIPSWithDiscriminator(disc_start=0, disc_weight=weight)
        last_layer = torch.randn(4, 3, 3, 3, generator=generator, requires_grad=True)
        task, adversarial = (scale * torch.randn(4, 3, 3, 3, generator=generator) for scale in (task_scale, adversarial_scale))
        value = loss.calculate_adaptive_weight((task * last_layer).sum(), (adversarial * last_layer).sum(), last_layer=last_layer)
        rows.append({"task": task.tolist(), "adversarial": adversarial.tolist(), "weight": weight, "value": value.item()})
    return rows


def with_proxies(make, cases):
    """Values and gradients of a loss of embeddings, their proxies and their labels."""
    generator, rows = torch.Generator().manual_seed(1), []
    for labels, settings in cases:
        embeddings = torch.randn(len(labels), 5, generator=generator, requires_grad=True)
        table = torch.randn(3, 5, generator=generator, requires_grad=True)
        classes = torch.tensor(labels)
        loss = make(num_classes=3, master_rank="cpu", DDP=False, **settings)
        value = loss(embed=embeddings, proxy=table[classes], label=classes)
        of_embeddings, of_table = torch.autograd.grad(value, (embeddings, table))
        rows.append(
            {
                **{"labels": labels, "settings": settings, "value": value.item()},
                **{"embeddings": embeddings.tolist(), "table": table.tolist()},
                **{"embeddings_gradient": of_embeddings.tolist(), "table_gradient": of_table.tolist()},
            }
        )
    return rows


def multi_hinge(module):
    """Values and gradients for labels of classes, and for the label of the fakes, which is the number of classes."""
    generator, rows = torch.Generator().manual_seed(2), []
    for labels in ([0, 2, 1, 1, 2], [3, 3, 3, 3, 3]):
        logits = (1.5 * torch.randn(5, 4, generator=generator)).requires_grad_()
        value = module.crammer_singer_loss(adv_output=logits, label=torch.tensor(labels), DDP=False)
        (gradient,) = torch.autograd.grad(value, logits)
        rows.append({"logits": logits.tolist(), "labels": labels, "value": value.item(), "gradient": gradient.tolist()})
    return rows


MIXED, SINGLE, SAME = [0, 1, 1, 2, 0, 2, 1], [0, 1, 2], [1, 1, 1, 1]

if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    studiogan = studiogan_losses()
    margins = [{"temperature": 0.5, "m_p": 0.98}, {"temperature": 0.75, "m_p": 1.0}, {"temperature": 0.25, "m_p": 0.5}]
    golden = {
        "source": f"PyTorch {torch.__version__}; " + ", ".join(f"{name} {commit[:7]}" for name, commit in PEERS.values()),
        "adaptive_weight": adaptive(vqgan_loss_module()),
        "data_to_data": with_proxies(
            studiogan.Data2DataCrossEntropyLoss, [*((MIXED, each) for each in margins), (SINGLE, margins[0]), (SAME, margins[0])]
        ),
        "contrastive": with_proxies(
            studiogan.ConditionalContrastiveLoss,
            [(MIXED, {"temperature": 1.0}), (MIXED, {"temperature": 0.1}), (SINGLE, {"temperature": 1.0}), (SAME, {"temperature": 1.0})],
        ),
        "multi_hinge": multi_hinge(studiogan),
    }
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1))
