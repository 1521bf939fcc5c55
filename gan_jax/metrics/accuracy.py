"""Classification accuracy score: the accuracy on real images of a classifier that was trained on generated images only."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax.metrics.arrays import as_features, as_images, to_float

Predict = Callable[[np.ndarray], np.ndarray]


class ClassificationAccuracy(NamedTuple):
    """Classification accuracy score.

    Attributes:
        value: Share of the real images whose class is predicted correctly, in [0, 1].
        per_class: Maps each class to the accuracy on its real images. It is low if the generator misses what characterises the class.
    """

    value: float
    per_class: dict[int, float]


def fit_linear(features, labels, *, decay: float = 1e-3, steps: int = 500) -> Predict:
    """Fits a linear softmax classifier on standardised features by L-BFGS. The result is deterministic.

        mean cross-entropy + decay / 2 |kernel|^2

    The bias is not penalised.

    Args:
        features: float [samples, dim]. Inputs of a higher rank, e.g. images, are flattened.
        labels: int [samples], at least 0.
        decay: Weight of the penalty on the squared norm of the kernel.
        steps: Maximum number of L-BFGS iterations.

    Returns:
        A function from features to predicted labels.

    Raises:
        ValueError: If the features are empty or not finite.
    """
    from scipy.optimize import minimize  # SciPy is a dependency of JAX. Only this function needs it.

    labels = np.asarray(labels)
    (features,) = as_features(at_least=1, features=np.reshape(features, (len(labels), -1)))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = 1 / np.where(deviation > 0, deviation, 1)
    x = np.append((features - mean) * scale, np.ones((len(features), 1)), axis=1)  # the last row of weights is the bias
    one_hot = np.eye(int(labels.max()) + 1)[labels]

    def loss_and_gradient(flat):
        weights = flat.reshape(x.shape[1], -1)
        logits = x @ weights
        logits -= logits.max(axis=1, keepdims=True)
        log_total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        penalised = np.append(weights[:-1], np.zeros_like(weights[-1:]), axis=0)
        loss = (log_total[:, 0] - (logits * one_hot).sum(axis=1)).mean() + decay / 2 * np.sum(penalised**2)
        gradient = x.T @ (np.exp(logits - log_total) - one_hot) / len(x) + decay * penalised
        return loss, gradient.ravel()

    start = np.zeros(x.shape[1] * one_hot.shape[1])
    result = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    weights = result.x.reshape(x.shape[1], -1)

    def predict(features):
        flat = (np.reshape(features, (len(features), -1)) - mean) * scale
        return (flat @ weights[:-1] + weights[-1]).argmax(axis=1)

    return predict


def fit_convolutional(images, labels, *, steps: int = 500, batch_size: int = 64, learning_rate: float = 2e-3, seed: int = 0) -> Predict:
    """Fits a small convolutional classifier on images by Adam with a cosine schedule.

    The network has three 3x3 convolutions of stride 2 with 32, 64 and 128 channels, a mean over space, and a dense layer.

    Args:
        images: uint8, or float in [-1, 1], [batch, height, width, channels].
        labels: int [batch], at least 0.
        steps: Number of Adam steps.
        batch_size: Images per step.
        learning_rate: Initial learning rate. It decays to 0.
        seed: Random seed of the initialisation and of the batches.

    Returns:
        A function from images to predicted labels.

    Raises:
        ValueError: If the inputs are not images, are empty, or hold values outside of their range.
        TypeError: If the images are neither uint8 nor floating point.
    """
    (images,) = as_images(images=images)
    labels = np.asarray(labels)
    shapes = [(3, 3, images.shape[3], 32), (3, 3, 32, 64), (3, 3, 64, 128), (128, int(labels.max()) + 1)]
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    kernels = [jax.random.normal(key, shape) * np.sqrt(2 / np.prod(shape[:-1])) for key, shape in zip(keys, shapes)]
    params = [(kernel, jnp.zeros(shape[-1])) for kernel, shape in zip(kernels, shapes)]

    def logits_of(params, x):
        for kernel, bias in params[:-1]:
            x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x + bias)
        kernel, bias = params[-1]
        return x.mean(axis=(1, 2)) @ kernel + bias

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            return optax.softmax_cross_entropy_with_integer_labels(logits_of(params, x), y).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        rows = generator.integers(0, len(images), batch_size)
        params, state = step(params, state, to_float(images[rows], -1, 1), labels[rows])
    classify = jax.jit(lambda params, x: logits_of(params, x).argmax(axis=1))

    def predict(images):
        (images,) = as_images(images=images)
        parts = [to_float(images[i : i + 250], -1, 1) for i in range(0, len(images), 250)]
        return np.concatenate([np.asarray(classify(params, part)) for part in parts])

    return predict


def classification_accuracy_score(
    fake, fake_labels, real, real_labels, *, fit: Callable[[np.ndarray, np.ndarray], Predict] = fit_convolutional
) -> ClassificationAccuracy:
    """Fits a classifier on fake images and their classes, and returns its accuracy on real images.

    Compare the value with the score of equally many real images that are used as the training set instead of the fakes. If all
    fakes have the same class, the classifier always answers that class.

    Args:
        fake: Generated images [batch, height, width, channels], or features if `fit=fit_linear`.
        fake_labels: int [batch], the classes that the generator was conditioned on.
        real: Real images or features with the same shape per row. Use images that the generator was not trained on.
        real_labels: int [batch].
        fit: `(inputs, labels) -> predict`, where `predict(inputs) -> labels`.

    Returns:
        The accuracy over all reals and for each class.

    Raises:
        ValueError: If a set is empty, if inputs and labels differ in number, if a label is negative or not an integer, or if the rows
            of fake and real differ in shape.

    References:
        Ravuri and Vinyals, "Classification accuracy score for conditional generative models", 2019. The paper uses a ResNet-50 on
        ImageNet. The default here is a small network for small images, so report the classifier with the score.
    """
    fake, real, fake_labels, real_labels = (np.asarray(x) for x in (fake, real, fake_labels, real_labels))
    for name, inputs, labels in (("fake", fake, fake_labels), ("real", real, real_labels)):
        if labels.shape != (len(inputs),) or len(labels) == 0:
            raise ValueError(f"{name}_labels must have shape ({len(inputs)},) and not be empty; got {labels.shape}")
        integers = labels.dtype.kind in "iu"
        if not integers or labels.min() < 0:
            raise ValueError(f"{name}_labels must be integers of at least 0; got {labels.min() if integers else labels.dtype}")
    if fake.shape[1:] != real.shape[1:]:
        raise ValueError(f"fake and real must have rows of the same shape; got {fake.shape} and {real.shape}")
    right = np.asarray(fit(fake, fake_labels)(real)) == real_labels
    per_class = {int(label): float(right[real_labels == label].mean()) for label in np.unique(real_labels)}
    return ClassificationAccuracy(float(right.mean()), per_class)
