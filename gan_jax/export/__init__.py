"""Export of a trained generator: a safetensors file, a StableHLO or ONNX program without gan_jax, or a folder for the Hugging Face Hub."""

from gan_jax.export.generator import Generator, GeneratorConfig, load_generator, save_generator
from gan_jax.export.onnx import OnnxProgram, export_onnx, onnx_program
from gan_jax.export.stablehlo import export_stablehlo, stablehlo_program
from gan_jax.export.stylegan2 import stylegan2_discriminator, stylegan2_generator

__all__ = [
    "Generator",
    "GeneratorConfig",
    "export_stablehlo",
    "load_generator",
    "save_generator",
    "stablehlo_program",
    "stylegan2_discriminator",
    "stylegan2_generator",
