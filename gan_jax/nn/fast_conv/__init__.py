"""Convolutions that are fast on a CPU, also when they are differentiated twice."""
