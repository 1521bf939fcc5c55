"""Converts a StyleGAN2 generator of the authors' code into a file for `gan_jax.load_generator`.

    python -m experiments.tools.convert_stylegan2 G_ema.pt generator.safetensors

Make the first file where the authors' code is (NVlabs/stylegan2-ada-pytorch or NVlabs/stylegan3):

    torch.save(G_ema.state_dict(), "G_ema.pt")

The file is a pickle, and loading a pickle can run arbitrary code. This program runs none and fails if the file holds anything but
tensors. It does not need PyTorch.
"""

from pathlib import Path

from gan_jax.cli.errors import fail
from gan_jax.cli.parsing import argument_parser
from gan_jax.export import save_generator, stylegan2_generator
from gan_jax.metrics import load_torch_weights
from gan_jax.models.stylegan2 import NOISE_MODES


def main(arguments: list[str] | None = None) -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("source", type=Path, help="state dict of a generator")
    parser.add_argument("target", type=Path, help="safetensors file to write")
    parser.add_argument("--clamp", type=float, default=256.0, help="conv_clamp of the authors' code, 0 for none (--fp32 in train.py)")
    parser.add_argument("--noise-mode", choices=NOISE_MODES, default="random", help="how the converted generator uses its noise inputs")
    options = parser.parse_args(arguments)
    if options.target.exists():
        fail(f"{options.target}: exists already", 1)
    try:
        weights = load_torch_weights(options.source)
        config, params, state = stylegan2_generator(weights, clamp=options.clamp, noise_mode=options.noise_mode)
        save_generator(options.target, config, params, state)
    except (OSError, ValueError) as error:
        fail(f"{options.source}: {error}", 1)
    print(f"{options.target}: {config.option('image_size')} pixels, {options.target.stat().st_size / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
