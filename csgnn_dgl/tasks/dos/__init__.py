"""Densities of states: training, evaluation, prediction, descriptors of atoms."""
