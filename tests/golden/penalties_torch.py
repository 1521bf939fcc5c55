"""Golden values of penalties and weight normalisations from PyTorch: python tests/golden/penalties_torch.py

Writes penalties_torch.json beside itself. Made with PyTorch 2.13.0 (CPU, float64). Tests read the JSON only.
"""

import json
import pathlib

import torch

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


def listed(value):
    return value.detach().tolist()


def penalties():
    """WGAN-GP, R1 and their parameter gradients, for the critic tanh(x W1 + b1) w2 at given points."""
    points = torch.randn(5, 3)
    parameters = {"w1": torch.randn(3, 4), "b1": torch.randn(4), "w2": torch.randn(4)}
    for parameter in parameters.values():
        parameter.requires_grad_()
    inputs = points.clone().requires_grad_()
    logits = torch.tanh(inputs @ parameters["w1"] + parameters["b1"]) @ parameters["w2"]
    (gradient,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    norm = gradient.norm(2, dim=1)
    values = {
        "wgan_gp": (norm - 1) ** 2,
        "wgan_gp_target_0.7": (norm - 0.7) ** 2,
        "wgan_gp_one_sided": torch.relu(norm - 1) ** 2,
        "r1": gradient.pow(2).sum(1),
    }
    out = {"points": listed(points), "parameters": {k: listed(v) for k, v in parameters.items()}, "logits": listed(logits)}
    for name, value in values.items():
        gradients = torch.autograd.grad(value.mean(), list(parameters.values()), retain_graph=True, allow_unused=True)
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters.values())]
        out[name] = {"values": listed(value), "gradients": dict(zip(parameters, map(listed, filled)))}
    return out


def spectral():
    """torch.nn.utils.spectral_norm of a convolution: weights after three calls, and the gradient through the third."""
    layer = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 5, (2, 4), bias=False), n_power_iterations=2)
    cotangent = torch.randn(5, 3, 2, 4)
    out = {"kernel": listed(layer.weight_orig), "vector": listed(layer.weight_u), "cotangent": listed(cotangent), "weights": []}
    for _ in range(3):
        layer(torch.zeros(1, 3, 4, 4))
        out["weights"].append(listed(layer.weight))
    (layer.weight * cotangent).sum().backward()
    return out | {"gradient": listed(layer.weight_orig.grad), "vector_after": listed(layer.weight_u)}


def weight_norm():
    """torch.nn.utils.weight_norm of a linear layer, gain and direction moved away from their start."""
    layer = torch.nn.utils.weight_norm(torch.nn.Linear(3, 4, bias=False))
    start = listed(layer.weight_v)
    gain_start = listed(layer.weight_g)
    with torch.no_grad():
        layer.weight_g.mul_(1.7)
        layer.weight_v.mul_(-0.3)
    cotangent = torch.randn(4, 3)
    layer(torch.zeros(1, 3))
    (layer.weight * cotangent).sum().backward()
    return {
        "kernel": start,
        "gain_start": gain_start,
        "direction": listed(layer.weight_v),
        "gain": listed(layer.weight_g),
        "weight": listed(layer.weight),
        "cotangent": listed(cotangent),
        "direction_gradient": listed(layer.weight_v.grad),
        "gain_gradient": listed(layer.weight_g.grad),
    }


def orthogonal():
    """BigGAN's off-diagonal penalty and |W W^T - I|^2 of a convolution kernel in PyTorch's layout."""
    kernel = torch.randn(4, 3, 2, 2)
    matrix = kernel.view(4, -1)
    gram = matrix @ matrix.t()
    return {
        "kernel": listed(kernel),
        "off_diagonal": listed((gram * (1 - torch.eye(4))).pow(2).sum()),
        "full": listed((gram - torch.eye(4)).pow(2).sum()),
        "sigma_squared": listed(torch.linalg.matrix_norm(matrix, 2) ** 2),
    }


if __name__ == "__main__":
    golden = {
        "source": f"PyTorch {torch.__version__}",
        "penalties": penalties(),
        "spectral_norm": spectral(),
        "weight_norm": weight_norm(),
        "orthogonal": orthogonal(),
    }
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(golden, indent=1) + "\n")
