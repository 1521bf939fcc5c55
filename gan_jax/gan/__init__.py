"""The train step: the train state, the GAN's static description, the losses of both players, the update rules, and `make_gan`."""
