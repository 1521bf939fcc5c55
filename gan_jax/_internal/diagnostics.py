"""What the diagnostics of the train step report and the monitor reads."""

LARGE_GRADIENT = 100.0  # The train step counts gradient norms above this.
FORGET = 0.05  # Share of a new value in the moving averages of the losses, which look back about 20 steps.
RATIO_EVERY = 8  # Number of steps between two measurements of the ratio of update norm to parameter norm.

# Where a value that is not finite can first appear, in the order of computation. The train step reports an index of this tuple.
PLACES = (
    "the batch",
    "the parameters of the discriminator",
    "the parameters of the generator",
    "the discriminator's output for reals",
    "the fakes, or the discriminator's output for them",
    "a penalty or a further term of a loss",
    "the loss of the discriminator",
    "the loss of the generator",
    "the gradient of the discriminator",
    "the gradient of the generator",
)
