"""Export of a trained generator: one safetensors file, or a StableHLO program that needs neither gan_jax nor Flax."""

from gan_jax.export.generator import Generator, GeneratorConfig, load_generator, save_generator
from gan_jax.export.stablehlo import export_stablehlo, stablehlo_program

__all__ = ["Generator", "GeneratorConfig", "export_stablehlo", "load_generator", "save_generator", "stablehlo_program"]
