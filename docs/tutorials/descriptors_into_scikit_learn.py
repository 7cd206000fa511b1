"""
Descriptors of atoms into scikit-learn
======================================

``AtomDescriptor`` turns the surroundings of every atom into a vector of numbers, for any element,
without training. This page learns the energies of single atoms in alloys from them, with models of
scikit-learn and cross validation.
"""

# %%
# Structures with a property to learn
# -----------------------------------
# Here these are cells of copper and gold with displaced atoms. The energies are those of
# effective medium theory, which comes with ASE and gives every atom an energy. Take your own
# structures and values instead, such as charges or chemical shifts.

import ase.build
import numpy as np
from ase.calculators.emt import EMT

rng = np.random.default_rng(0)
structures, energies = [], []
for share in np.linspace(0, 1, 24):
    atoms = ase.build.bulk("Cu", a=3.61 + 0.47 * share, cubic=True).repeat(2)
    atoms.symbols[rng.random(len(atoms)) < share] = "Au"
    atoms.rattle(rng.uniform(0.02, 0.15), rng=rng)
    atoms.calc = EMT()
    energies.append(atoms.get_potential_energies())
    atoms.calc = None
    structures.append(atoms)
target = np.concatenate(energies)
print(f"{len(target)} atoms in {len(structures)} structures; energies {target.std():.2f} eV apart")

# %%
# Descriptors
# -----------
# ``phonon-dos`` is a model that comes with the package. ``votes`` averages over orientations. On
# a terminal: ``csgnn-dgl describe-atoms *.cif --votes 4 -o atoms.npz``.

from csgnn_dgl.descriptor import AtomDescriptor

descriptor = AtomDescriptor("phonon-dos", votes=4, check_domain=False)
features = np.concatenate(descriptor.create(structures))
print(features.shape)

# %%
# Cross validation
# ----------------
# Atoms of one structure resemble each other. So whole structures are held out (``GroupKFold``):
# otherwise the test would be too easy. The baseline knows only the element of the atom.

import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

groups = np.repeat(np.arange(len(structures)), [len(atoms) for atoms in structures])
gold = np.concatenate([atoms.symbols == "Au" for atoms in structures]).astype(float)[:, None]
ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
forest = RandomForestRegressor(50, min_samples_leaf=2, max_features=0.3, random_state=0)
folds = GroupKFold(6)
predicted = {
    "element alone": cross_val_predict(RidgeCV(), gold, target, groups=groups, cv=folds),
    "ridge regression": cross_val_predict(ridge, features, target, groups=groups, cv=folds),
    "random forest": cross_val_predict(forest, features, target, groups=groups, cv=folds),
}
errors = {name: np.abs(values - target).mean() for name, values in predicted.items()}
pd.Series(errors, name="mean absolute error [eV]").round(3).to_frame()

# %%

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharex=True, sharey=True, layout="constrained")
for place, (name, values) in zip(axes, predicted.items(), strict=True):
    place.scatter(target, values, s=4, c=gold[:, 0], cmap="copper_r", alpha=0.6)
    place.axline((0, 0), slope=1, color="#888888", lw=0.8)
    place.set(title=name, xlabel="energy of the atom [eV]")
axes[0].set_ylabel("predicted [eV]")
plt.show()

# %%
# For real work
# -------------
# Descriptors of a model that was trained on data like yours say more
# (``AtomDescriptor("runs/dos-001")``). Leave ``check_domain`` on: it warns about structures
# unlike those in training. See :doc:`/atoms`.
