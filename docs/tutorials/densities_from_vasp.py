"""
Densities of states of your crystals, from VASP
===============================================

From a folder of VASP results to a model that predicts the density of states of a new crystal in a
moment, with Fermi level, band energy, and a warning where it does not know.
"""

# %%
# Results of VASP
# ---------------
# The import reads ``vasprun.xml`` (also packed), or ``POSCAR`` with ``DOSCAR``. Here a
# tight-binding model stands in for VASP, and writes such files for compressed and stretched
# diamond with displaced atoms. With calculations of your own, skip this step.

from pathlib import Path
from tempfile import mkdtemp

import ase.build
import numpy as np
from vasp_stand_in import write_vasprun

rng = np.random.default_rng(0)
work = Path(mkdtemp())
for number in range(80):
    atoms = ase.build.bulk("C", "diamond", 3.567 * rng.uniform(0.94, 1.08))
    atoms.rattle(rng.uniform(0.01, 0.08), rng=rng)
    write_vasprun(atoms, work / "calculations" / f"diamond-{number:02}")

# %%
# The import
# ----------
# On a terminal: ``csgnn-dgl data import-vasp calculations --to data --start -32 --stop 8 --step
# 0.5``. All curves come onto the same energies, each value the mean over its bin. The Fermi level
# of each calculation becomes zero.

from csgnn_dgl.cli.main import cli

window = ["--start", "-32", "--stop", "8", "--step", "0.5"]
imported = ["data", "import-vasp", str(work / "calculations"), "--to", str(work / "data")]
cli([*imported, *window], standalone_mode=False)

# %%
# Look at what is understood before training: units, zero, electrons, rejected structures, unused
# columns.

cli(["data", "info", str(work / "data")], standalone_mode=False)

# %%
# Training
# --------
# On a terminal: ``csgnn-dgl train dos --data data --preset quick --epochs 25 --cutoff 4``. A
# tenth of the structures is held out for the test, three tenths of the others for validation.

run = work / "run"
options = ["--preset", "quick", "--epochs", "25", "--cutoff", "4", "--n-spheres", "8"]
options += ["--ema-decay", "0.9", "--validation-fraction", "0.3"]
options += ["--no-progress", "--output", str(run)]
cli(["train", "dos", "--data", str(work / "data"), *options], standalone_mode=False)

# %%
# The test
# --------
# ``evaluate`` compares with a trivial model, the mean of all training curves. A model that is not
# clearly better has learned nothing.

cli(["evaluate", str(run), "--votes", "4", "--no-progress"], standalone_mode=False)

# %%
# A new crystal
# -------------
# On a terminal: ``csgnn-dgl predict run new.cif --plot new.png``. The reference is a calculation
# that the model has not seen.

import matplotlib.pyplot as plt

from csgnn_dgl.datasets.atoms.vasp import read_run
from csgnn_dgl.descriptor import predict_dos

new = ase.build.bulk("C", "diamond", 3.6)
new.rattle(0.08, rng=rng)
write_vasprun(new, work / "new")
found = predict_dos(new, run, votes=4)
reference = read_run(work / "new" / "vasprun.xml")
print(f"band energy {found.band_energy:.2f} eV/atom, score {found.score:.2f}")

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
energies = reference.grid.energies - reference.fermi_level
axes.plot(energies, reference.dos / len(new), color="#222222", lw=1, label="calculated")
axes.plot(found.energies, found.dos, color="#cc6677", label="predicted")
axes.axvline(0, color="#4477aa", lw=0.8, ls="--")
axes.set(xlim=(-32, 8), xlabel="energy [eV], zero at the Fermi level", ylabel=found.unit)
axes.legend(frameon=False)
plt.show()

# %%
# What the model does not know
# ----------------------------
# Graphene is carbon, too, but nothing like it was in the training data. The score above 1 says
# that the prediction is a guess.

import warnings

graphene = ase.build.graphene(vacuum=8)
graphene.pbc = True
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    outside = predict_dos(graphene, run)
print(f"score {outside.score:.1f}")
print(caught[0].message)

# %%
# For real work
# -------------
# Take ``--preset compact`` where the calculations have projected curves (``LORBIT = 11``), or
# ``--preset crystals`` for many elements, and some hundreds of calculations. See :doc:`/atoms`
# and :doc:`/data`.
