"""Values of a strided and of a transposed convolution, their gradients and a second derivative, from PyTorch 2.13.0 (CPU).

    python tests/golden/conv_torch.py

Second derivative: d/dw of |dL/dx|^2 with L = sum(sin(y)). PyTorch's layouts throughout: images NCHW; weights
[out, in, kh, kw] of the convolution and [in, out, kh, kw] of the transposed one.
"""

from pathlib import Path

import numpy as np
import torch

torch.manual_seed(0)
values = {}
for name, operation, weight_shape, size, options in (
    ("conv", torch.nn.functional.conv2d, (4, 3, 4, 4), (7, 9), {"stride": 2, "padding": 1}),
    (
        "transpose",
        torch.nn.functional.conv_transpose2d,
        (3, 2, 5, 4),
        (4, 5),
        {"stride": (3, 2), "padding": (2, 1), "output_padding": (1, 0)},
    ),
):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(weight_shape, dtype=torch.float64, requires_grad=True)
    y = operation(x, w, **options)
    x_gradient, w_gradient = torch.autograd.grad(torch.sin(y).sum(), (x, w), create_graph=True)
    (second,) = torch.autograd.grad(x_gradient.square().sum(), w)
    arrays = {"x": x, "w": w, "y": y, "x_gradient": x_gradient, "w_gradient": w_gradient, "second": second}
    values |= {f"{name}_{key}": array.detach().numpy().astype(np.float32) for key, array in arrays.items()}
np.savez_compressed(Path(__file__).with_suffix(".npz"), **values)
