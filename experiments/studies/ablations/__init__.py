"""The ablations: `python -m experiments.studies.ablations.ablate`."""
