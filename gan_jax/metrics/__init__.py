"""Metrics: how good a generator is, measured the way the field measures it.

The distances and scores are pure functions on arrays. `feature_extractor` turns images into features. `measure` takes images,
extracts their features, computes the metrics and records the protocol with every number.
"""

from gan_jax.metrics import classifier, inception
from gan_jax.metrics.accuracy import ClassificationAccuracy, classification_accuracy_score, fit_convolutional, fit_linear
from gan_jax.metrics.diversity import memorized_share, vendi_score
from gan_jax.metrics.energy import energy_distance
from gan_jax.metrics.features import FEATURE_EXTRACTORS, Extracted, FeatureExtractor, feature_extractor
from gan_jax.metrics.frechet import (
    IntraClassDistance,
    Moments,
    feature_moments,
    frechet_distance,
    frechet_distance_from_moments,
    init_moments,
    intra_class_frechet_distance,
    merge_moments,
    update_moments,
)
from gan_jax.metrics.kernel import KernelDistance, kernel_distance
from gan_jax.metrics.manifold import (
    DensityCoverage,
    Manifold,
    Neighbors,
    PrecisionRecall,
    density_coverage,
    manifold_metrics,
    nearest_neighbors,
    precision_recall,
)
from gan_jax.metrics.modes import ModeCoverage, class_coverage, mode_coverage, stacked_digit_coverage
from gan_jax.metrics.path_length import LPIPS_LAYERS, PathLength, path_distances, perceptual_embedding, perceptual_path_length
from gan_jax.metrics.protocol import METRICS, Measurement, measure
from gan_jax.metrics.scores import InceptionScore, inception_score
from gan_jax.metrics.similarity import Diversity, ms_ssim, ms_ssim_diversity
from gan_jax.metrics.spectrum import radial_power_spectrum, spectrum_distance
from gan_jax.metrics.statistics import Statistics, feature_statistics, image_statistics, load_statistics, save_statistics
from gan_jax.metrics.torch_weights import load_torch_weights
from gan_jax.metrics.wasserstein import SlicedWasserstein, laplacian_pyramid, sliced_wasserstein

__all__ = [
    "FEATURE_EXTRACTORS",
    "LPIPS_LAYERS",
    "METRICS",
    "ClassificationAccuracy",
    "DensityCoverage",
    "Diversity",
    "Extracted",
    "FeatureExtractor",
    "InceptionScore",
    "IntraClassDistance",
    "KernelDistance",
    "Manifold",
    "Measurement",
    "ModeCoverage",
    "Moments",
    "Neighbors",
    "PathLength",
    "PrecisionRecall",
    "SlicedWasserstein",
    "Statistics",
    "class_coverage",
    "classification_accuracy_score",
    "classifier",
    "density_coverage",
    "energy_distance",
    "feature_extractor",
    "feature_moments",
    "feature_statistics",
    "fit_convolutional",
    "fit_linear",
    "frechet_distance",
    "frechet_distance_from_moments",
    "image_statistics",
    "inception",
    "inception_score",
    "init_moments",
    "intra_class_frechet_distance",
    "kernel_distance",
    "laplacian_pyramid",
    "load_statistics",
    "load_torch_weights",
    "manifold_metrics",
    "measure",
    "memorized_share",
    "merge_moments",
    "mode_coverage",
    "ms_ssim",
    "ms_ssim_diversity",
    "nearest_neighbors",
    "path_distances",
    "perceptual_embedding",
    "perceptual_path_length",
    "precision_recall",
    "radial_power_spectrum",
    "save_statistics",
    "sliced_wasserstein",
    "spectrum_distance",
    "stacked_digit_coverage",
    "update_moments",
    "vendi_score",
]
