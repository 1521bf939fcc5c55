"""From a configuration to a GAN: names become functions."""
