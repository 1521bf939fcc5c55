"""Export of a trained generator: a safetensors file, a StableHLO or ONNX program without gan_jax, or a folder for the Hugging Face Hub.

The package also converts weights of StyleGAN2's authors and inverts generators with styles.
"""

from gan_jax.export.generator import Generator, GeneratorConfig, load_generator, save_generator
from gan_jax.export.inversion import StyleInversion, StyleStatistics, invert_styles, noise_regularisation, style_statistics
from gan_jax.export.onnx import OnnxProgram, export_onnx, onnx_program
from gan_jax.export.stablehlo import export_stablehlo, stablehlo_program
from gan_jax.export.stylegan2 import stylegan2_discriminator, stylegan2_generator

__all__ = [
    "Generator",
    "GeneratorConfig",
    "OnnxProgram",
    "StyleInversion",
    "StyleStatistics",
    "export_onnx",
    "export_stablehlo",
    "invert_styles",
    "load_generator",
    "noise_regularisation",
    "onnx_program",
    "save_generator",
    "stablehlo_program",
    "style_statistics",
    "stylegan2_discriminator",
    "stylegan2_generator",
]
