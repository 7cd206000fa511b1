"""Structure files, and data sets of densities of states."""

from __future__ import annotations

import gzip
import io
import json
import re
import tempfile
import warnings
from pathlib import Path
from random import Random

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk

from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.datasets.atoms.vasp import read_run
from csgnn_dgl.datasets.atoms.vasp_import import import_vasp
from csgnn_dgl.errors import DataError, StructureError
from csgnn_dgl.mapping import find_neighbors
from tests.fuzz.format import Format, Seed
from tests.fuzz.mutations import damage, in_gzip, in_npy, in_zip

__all__ = ["ATOM_FORMATS", "diamond"]

_CUTOFF = 3.0


def diamond(seed: int = 0) -> Atoms:
    """Two atoms of carbon, slightly out of place."""
    atoms = bulk("C", "diamond", 3.57)
    atoms.rattle(0.02, seed=seed)
    return atoms


def read_structure_file(folder: Path, target: Path) -> None:
    """Read structures, find neighbours as the models do, and check both."""
    # A choice by the content, so that both ways are tried.
    occupancy = ("refuse", "majority", "full")[target.stat().st_size % 3]
    found = read_structures(target, occupancy=occupancy)  # type: ignore[arg-type]
    assert found, "no structures"
    for structure in found:
        _check_atoms(structure.atoms)
    expected = re.match(r"(\d+)-sites", target.name)
    if expected:
        count = len(found[0].atoms)
        assert count == int(expected[1]), f"{count} sites instead of {expected[1]}"
    for structure in [s for s in found if len(s.atoms) <= 2000][:3]:
        try:
            _check_neighbors(structure.atoms)
        except StructureError as error:  # commands name the file, too
            raise DataError(f"{structure.source}: {error.problem}") from error


def _check_atoms(atoms: Atoms) -> None:
    assert len(atoms) > 0, "a structure without atoms"
    assert np.isfinite(atoms.positions).all(), "positions are not finite"
    assert np.isfinite(atoms.cell.array).all(), "the cell is not finite"
    assert ((atoms.numbers >= 1) & (atoms.numbers <= 118)).all(), "no element"
    if atoms.pbc.all():
        assert abs(atoms.cell.volume) > 0, "no volume"


def _check_neighbors(atoms: Atoms) -> None:
    found = find_neighbors([atoms], _CUTOFF)
    assert found.n_atoms == len(atoms), "another number of atoms"
    vectors = found.displacements.numpy()
    assert np.isfinite(vectors).all(), "displacements are not finite"
    lengths = np.linalg.norm(vectors, axis=1)
    assert (lengths <= _CUTOFF + 1e-6).all(), "a neighbour beyond the cutoff"
    centres, others = found.centres.numpy(), found.neighbors
    assert others is not None
    others = others.numpy()
    n = len(atoms)
    assert ((others >= 0) & (others < n)).all(), "a neighbour that does not exist"
    there, back = np.zeros((n, n), int) if n < 500 else None, None
    if there is not None:
        np.add.at(there, (centres, others), 1)
        back = there.T
        # At the cutoff itself, rounding decides.
        edge = (np.abs(lengths - _CUTOFF) < 1e-6).any()
        assert edge or (there == back).all(), "neighbours are not mutual"
    if len(vectors) and np.abs(vectors.sum(axis=0)).max() > 1e-4 * max(1, len(vectors)):
        edge = (np.abs(lengths - _CUTOFF) < 1e-6).any()
        assert edge, "displacements do not cancel"


_CIF = """data_rutile
# made by a test
_cell_length_a 4.594(3)
_cell_length_b 4.594(3)
_cell_length_c 2.959
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90.0
_cell_volume 62.4
_cell_formula_units_Z 2
_chemical_formula_sum 'O2 Ti'
_symmetry_space_group_name_H-M 'P 42/m n m'
_symmetry_Int_Tables_number 136
_exptl_crystal_density_diffrn 4.25
loop_
_symmetry_equiv_pos_as_xyz
 x,y,z
 -x,-y,z
 -y+1/2,x+1/2,z+1/2
 y+1/2,-x+1/2,z+1/2
 -x+1/2,y+1/2,-z+1/2
 x+1/2,-y+1/2,-z+1/2
 y,x,-z
 -y,-x,-z
 -x,-y,-z
 x,y,-z
 y+1/2,-x+1/2,-z+1/2
 -y+1/2,x+1/2,-z+1/2
 x+1/2,-y+1/2,z+1/2
 -x+1/2,y+1/2,z+1/2
 -y,-x,z
 y,x,z
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Ti1 Ti4+ 0 0 0 1
O1 O2- 0.3051(2) 0.3051(2) 0 1.0
"""
_CIF_PARTIAL = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Na1 0 0 0 0.7 0.01
K1 0 0 0 0.3 0.01
Cl1 0.5 0.5 0.5 ? 0.02
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
Na1 0.01
"""


def _cif() -> list[Seed]:
    buffer = io.BytesIO()
    ase.io.write(buffer, [diamond(), bulk("NaCl", "rocksalt", 5.6)], format="cif")
    return [
        Seed.of("rutile.cif", _CIF),
        Seed.of("salt.cif", _CIF_PARTIAL, sound=False),
        Seed.of("two.cif", buffer.getvalue()),
        Seed.of("text.cif", _CIF + "_publ_section_comment\n;\nsome text\n;\n"),
    ]


def _cif_gz() -> list[Seed]:
    return [Seed.of("rutile.cif.gz", gzip.compress(_CIF.encode(), mtime=0))]


def _text(atoms: Atoms | list[Atoms], form: str, **options: object) -> bytes:
    # Some writers need a path, and some write bytes.
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / "made"
        ase.io.write(path, atoms, format=form, **options)
        return path.read_bytes()


def _poscar() -> list[Seed]:
    salt = bulk("NaCl", "rocksalt", 5.6)
    old = _text(salt, "vasp", vasp5=False).decode().splitlines()
    return [
        Seed.of("POSCAR", _text(salt, "vasp")),
        Seed.of("CONTCAR", _text(salt, "vasp", direct=True)),
        Seed.of("salt.vasp", "\n".join(["Na Cl", *old[1:]]) + "\n"),
        Seed.of(
            "POSCAR",
            "Si\n-160.1\n3.3 0 0\n0 3.3 0\n0 0 3.3\nSi\n2\nSelective dynamics\nDirect\n"
            "0 0 0 T T F\n0.25 0.25 0.25 F F F\n\n0 0 0\n0 0 0\n",
        ),
    ]


def _extxyz() -> list[Seed]:
    frames = [diamond(i) for i in range(3)]
    for atoms in frames:
        atoms.info.update(energy=-1.5, name="a b", flags=[True, False], tensor=np.eye(3))
        atoms.arrays["charge"] = np.array([0.1, -0.1])
    slab = bulk("Na", cubic=True)
    slab.pbc = (True, True, False)
    return [
        Seed.of("three.extxyz", _text(frames, "extxyz")),
        Seed.of("slab.xyz", _text(slab, "extxyz")),
    ]


def _xyz() -> list[Seed]:
    water = "3\nwater\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n"
    return [Seed.of("water.xyz", water), Seed.of("two.xyz", water + water.replace("O", "S"))]


def _other_formats() -> list[Seed]:
    salt = bulk("NaCl", "rocksalt", 5.6)
    cell = Atoms("NaCl", [(0, 0, 0), (2.8, 0, 0)], cell=(5.6, 5.6, 5.6), pbc=True)
    kinds = {
        "salt.cfg": ("cfg", {}),
        "salt.pdb": ("proteindatabank", {}),
        "salt.json": ("json", {}),
        "salt.xsf": ("xsf", {}),
        "salt.gen": ("gen", {}),
        "salt.res": ("res", {}),
        "geometry.in": ("aims", {}),
        "salt.traj": ("traj", {}),
        "salt.cube": ("cube", {"data": np.ones((2, 2, 2))}),
        "salt.data": ("lammps-data", {}),
        "salt.pwi": ("espresso-in", {"pseudopotentials": {"Na": "a.upf", "Cl": "b.upf"}}),
        "salt.xtl": ("xtl", {}),
        "salt.sdf": ("sdf", {}),
        "salt.mol": ("mol", {}),
        "salt.g96": ("gromos", {}),
        "salt.shelx": ("res", {}),
    }
    seeds = []
    for name, (form, options) in kinds.items():
        for atoms in (salt, cell):
            try:
                sound = form != "lammps-data"  # ASE does not know it by its name
                seeds.append(Seed.of(name, _text(atoms, form, **options), sound=sound))
                break
            except Exception:  # a format that this version of ASE does not write
                continue
    return seeds


_ENERGIES = np.linspace(-10.0, 5.0, 31)
_CURVE = np.round(8 * np.exp(-((_ENERGIES + 4) ** 2) / 2) / np.sqrt(2 * np.pi), 6)


def _doscar(spins: int, projected: bool) -> str:
    states = np.cumsum(_CURVE) * 0.5
    last = f"{5.0:16.8f}{-10.0:16.8f}{31:5d}{1.0:16.8f}{1.0:16.8f}"
    lines = ["   2   2   1   0", " a", " b", " CAR", " silicon", last]
    for energy, value, state in zip(_ENERGIES, _CURVE, states, strict=True):
        words = [value / spins] * spins + [state / spins] * spins
        lines.append(f"{energy:11.3f} " + " ".join(f"{word:.4E}" for word in words))
    for _ in range(2 if projected else 0):
        lines.append(last)
        for energy, value in zip(_ENERGIES, _CURVE, strict=True):
            lines.append(f"{energy:11.3f} " + f"{value / 4:.4E} " * 2)
    return "\n".join(lines) + "\n"


_SILICON = "Si\n1.0\n0 2.7 2.7\n2.7 0 2.7\n2.7 2.7 0\nSi\n2\nDirect\n0 0 0\n0.25 0.25 0.25\n"


def _doscars() -> list[Seed]:
    seeds = []
    for spins, projected in ((1, False), (2, False), (1, True)):
        files = {
            "r/DOSCAR": _doscar(spins, projected).encode(),
            "r/POSCAR": _SILICON.encode(),
            "r/OUTCAR": b" some\n   NELECT =       8.0000    total number of electrons\n",
        }
        seeds.append(Seed("r/DOSCAR", files, ("r/DOSCAR",) * 4 + ("r/POSCAR", "r/OUTCAR")[::-1]))
    return seeds


def _vasprun(spins: int, partial: bool) -> str:
    states = np.cumsum(_CURVE) * 0.5
    rows = "".join(
        f"<r> {e:.4f} {g / spins:.4f} {i / spins:.4f} </r>\n"
        for e, g, i in zip(_ENERGIES, _CURVE, states, strict=True)
    )
    total = "".join(f'<set comment="spin {s + 1}">{rows}</set>' for s in range(spins))
    shares = "".join(
        f"<r> {e:.4f} {g / 4:.4f} {g / 4:.4f} </r>\n"
        for e, g in zip(_ENERGIES, _CURVE, strict=True)
    )
    ions = f'<set comment="ion">{f"<set>{shares}</set>" * spins}</set>' * 2
    ions = f"<partial><array><set>{ions}</set></array></partial>" if partial else ""
    values = f"<set><r> {-4.0:.4f} 1.0 </r><r> {3.0:.4f} 0.0 </r></set>"
    values = f"<eigenvalues><array><set><set>{values}</set></set></array></eigenvalues>"
    atoms = bulk("Si", a=5.43)
    vectors = "".join(f"<v>{a} {b} {c}</v>" for a, b, c in atoms.cell.array)
    places = "".join(f"<v>{a} {b} {c}</v>" for a, b, c in atoms.get_scaled_positions())
    inner = (
        f'<crystal><varray name="basis">{vectors}</varray></crystal>'
        f'<varray name="positions">{places}</varray></structure>'
    )
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    energy = "".join(f'<i name="{name}">-1.0</i>' for name in names)
    kinds = "<rc><c>Si</c><c>1</c></rc>" * 2
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray>'
        '<varray name="weights"><v>1</v></varray></kpoints>\n'
        '<parameters><separator name="electronic"><i name="NELECT"> 8.0</i>'
        '<i type="logical" name="LNONCOLLINEAR">F</i></separator></parameters>\n'
        f'<atominfo><atoms>2</atoms><array name="atoms"><set>{kinds}</set></array></atominfo>\n'
        f'<structure name="initialpos">{inner}\n<calculation>\n<scstep><energy>{energy}</energy>'
        f"</scstep>\n<structure>{inner}\n<energy>{energy}</energy>\n{values}\n"
        f'<dos><i name="efermi"> 1.0 </i><total><array><set>{total}</set></array></total>'
        f"{ions}</dos>\n</calculation></modeling>\n"
    )


def _vaspruns() -> list[Seed]:
    kinds = ((1, False), (2, False), (1, True), (2, True))
    return [Seed.of("vasprun.xml", _vasprun(spins, partial)) for spins, partial in kinds]


def _vaspruns_gz() -> list[Seed]:
    return [Seed.of("vasprun.xml.gz", gzip.compress(_vasprun(1, True).encode(), mtime=0))]


def _read_run(folder: Path, target: Path) -> None:
    """Read one calculation, import it, and load what was written."""
    run = read_run(target)
    _check_atoms(run.atoms)
    size = run.grid.size
    assert run.dos.shape == (size,), "a curve of another length"
    for name, value in vars(run).items():
        if isinstance(value, np.ndarray):
            assert np.isfinite(value).all(), f"{name} is not finite"
    assert np.isfinite(run.fermi_level), "the Fermi level is not finite"
    assert run.electrons is None or np.isfinite(run.electrons), "electrons are not finite"
    if run.pdos is not None:
        assert run.pdos.shape == (len(run.atoms), size), "projected curves of another shape"
        assert np.isfinite(run.pdos).all(), "projected curves are not finite"
    out = folder / target.parent.name / f"imported-{target.name}"
    import_vasp([target], out)
    _read_dos(out, out)


def _read_dos(folder: Path, target: Path) -> None:
    """Load a data set, and check all records."""
    data = load_dos_dataset(target)
    assert min(data.grid.size, data.grid.step) > 0, "no grid"
    assert np.isfinite(data.grid.energies).all(), "energies are not finite"
    records = (*data.train, *data.validation, *data.test)
    assert records, "no records"
    for record in records[:50]:
        _check_atoms(record.atoms)
        assert record.dos.shape == (data.grid.size,), "a curve of another length"
        assert not np.isinf(record.dos).any(), "a curve is infinite"
        assert not np.isnan(record.dos).all(), "a curve of nan alone"
        for name in ("electrons", "band_energy", "fermi_level"):
            value = getattr(record, name)
            assert value is None or np.isfinite(value), f"{name} is not finite"
        if record.atom_dos is not None:
            assert record.atom_dos.shape == (len(record.atoms), data.grid.size), "atom_dos"
    assert all(line.isprintable() for line in data.warnings), "control characters in a warning"
    assert all(len(line) < 1000 for line in data.warnings), "a warning without end"


_GRID = {
    "quantity": "electronic density of states",
    "start": -10.0,
    "step": 0.5,
    "size": 31,
    "unit": "eV",
    "zero": "vacuum level",
    "dos_unit": "states/eV/atom",
    "electrons": {"C": 4, "Si": 4.0},
    "name": "carbon",
    "source": "a test",
}
_OTHER_GRID = {"energies": _ENERGIES.tolist(), "units": "eV", "normalisation": "none", "note": ""}


def _with_curve(seed: int) -> Atoms:
    atoms = diamond(seed)
    atoms.info.update(dos=_CURVE / 2, electrons=8.0, group="diamond", fermi_level=0.5)
    return atoms


def _extxyz_folder() -> dict[str, bytes]:
    pdos = _with_curve(9)
    pdos.arrays["pdos"] = np.tile(_CURVE / 2, (2, 1))
    return {
        "d/grid.json": json.dumps(_GRID).encode(),
        "d/train.extxyz": _text([*(_with_curve(i) for i in range(3)), pdos], "extxyz"),
        "d/test.extxyz": _text([_with_curve(5)], "extxyz"),
    }


def _grids() -> list[Seed]:
    files = _extxyz_folder()
    other = {**files, "d/grid.json": json.dumps(_OTHER_GRID, indent=1).encode()}
    return [Seed("d", content, ("d/grid.json",)) for content in (files, other)]


def _extxyz_folders() -> list[Seed]:
    return [Seed("d", _extxyz_folder(), ("d/train.extxyz", "d/test.extxyz"))]


def _tables() -> list[Seed]:
    cif = _text(diamond(), "cif")
    grid = json.dumps(_GRID).encode()
    curve = ",".join(f"{value:.4f}" for value in _CURVE / 2)
    header = "id,electrons_per_atom," + ",".join(f"dos_{i}" for i in range(31))
    plain = "".join(f"{name},{curve}\n" for name in "abc")
    rows = "".join(f"{name},4.0,{curve}\n" for name in "abc")
    beside = io.BytesIO()
    np.savez(beside, pdos=np.tile(_CURVE / 2, (2, 1)))
    shared = {"d/grid.json": grid, **{f"d/{name}.cif": cif for name in "abc"}}
    return [
        Seed("d", {**shared, "d/id_prop.csv": plain.encode()}, ("d/id_prop.csv",)),
        Seed(
            "d",
            {**shared, "d/train.csv": f"{header}\n{rows}".encode(), "d/a.npz": beside.getvalue()},
            ("d/train.csv", "d/train.csv", "d/a.npz"),
        ),
    ]


def _carbon() -> list[Seed]:
    n, size = 3, 310
    recipe = {"structures": ["diamond"], "temperatures": [300.0], "snapshots": n}
    recipe |= {"test_snapshots": 1, "interval": 10, "equilibration": 4, "timestep": 1.0}
    recipe |= {"friction": 0.02, "seed": 0}
    files = {"c/recipe.json": json.dumps(recipe).encode()}
    atoms = diamond()
    for split in ("train", "test"):
        about = {"structure": "diamond", "temperature": 300.0, "split": split}
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            about=np.array(json.dumps(about)),
            numbers=atoms.numbers,
            cell=atoms.cell.array,
            pbc=np.array(atoms.pbc),
            positions=np.array([diamond(i).positions for i in range(n)]),
            dos=np.tile(np.linspace(0, 0.3, size), (n, 1)),
            band_energy=np.full(n, -30.0),
            fermi_level=np.full(n, -5.0),
        )
        files[f"c/diamond-300K-{split}.npz"] = buffer.getvalue()
    return [Seed("c", files)]


def _in_npz(rng: Random, content: bytes) -> bytes:
    return in_zip(in_npy if rng.random() < 0.6 else damage)(rng, content)


def _paper() -> list[Seed]:
    lines = ["# energy total s p"]
    lines += [f"{-30 + 0.1 * i:.2f} {0.13:.4f} 0.0 0.1" for i in range(311)]
    files = {}
    for place in ("p/diamond/300K/1", "p/diamond/300K/2", "p/test/diamond/300K/3"):
        files[f"{place}/POSCAR"] = _SILICON.replace("Si", "C").encode()
        files[f"{place}/doscar_s"] = ("\n".join(lines) + "\n").encode()
    return [Seed("p", files)]


_CIF_WORDS = tuple(
    b"data_ loop_ save_ _cell_length_a _atom_site_label _atom_site_fract_x ? . ; 'P 1' x,y,z "
    b"-x,1/2+y,z _symmetry_equiv_pos_as_xyz _space_group_symop_operation_xyz _atom_site_occupancy "
    b"x,y,z/0 2x,y,z x+1e9,y,z x,x,x nan,y,z 1/3 0.3333 Wat D Uuo _atom_site_Cartn_x 'F m -3 m:1' "
    b"_symmetry_space_group_name_Hall _cell_formula_units_Z global_ stop_ #".split(b" ")
)
_XYZ_WORDS = tuple(
    b'Lattice="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3 pbc="T T F" dos= name=a X '
    b"Properties=species:S:4294967295:pos:R:3 Properties=pos:R:3 Properties=species:S:1:pos:R:-3 "
    b"Z:I:1 C 118 119 0 -1 Xx energy=nan T F _JSON {1} [[1] dos=[]".split(b" ")
)
_VASP_WORDS = tuple(b"Direct Cartesian Selective dynamics T F C Si 0 2 2*3 Si_pv Xx".split())
_XML_WORDS = tuple(
    b'<r> </r> <set> </set> <dos> </dos> <total> <partial> <v>1</v> <i name="efermi"> &lt; &x; '
    b'encoding="x" encoding="utf-16" <!DOCTYPE x> <rc><c>C</c></rc> <atoms>3</atoms> ****** '
    b"<calculation> </calculation> <eigenvalues> ]]> <!--".split(b" ")
)


#: Formats of structures and densities of states.
ATOM_FORMATS = (
    Format("cif", _cif, read_structure_file, _CIF_WORDS, share=1.5),
    Format("cif-gz", _cif_gz, read_structure_file, text=False, inside=in_gzip(damage), share=0.5),
    Format("poscar", _poscar, read_structure_file, _VASP_WORDS),
    Format("extxyz", _extxyz, read_structure_file, _XYZ_WORDS),
    Format("xyz", _xyz, read_structure_file, _XYZ_WORDS, share=0.7),
    Format("ase", _other_formats, read_structure_file, (b"CRYST1", b"ATOM", b"HETATM", b"END")),
    Format("doscar", _doscars, _read_run, _VASP_WORDS),
    Format("vasprun", _vaspruns, _read_run, _XML_WORDS),
    Format("vasprun-gz", _vaspruns_gz, _read_run, text=False, inside=in_gzip(damage), share=0.4),
    Format("grid-json", _grids, _read_dos, (b"{", b"}", b"NaN", b"[[", b"eV", b"cm^-1")),
    Format("extxyz-folder", _extxyz_folders, _read_dos, _XYZ_WORDS),
    Format("table-folder", _tables, _read_dos, (b"a", b"nan", b"id", b"../a", b".", b"/dev/zero")),
    Format("carbon-tb", _carbon, _read_dos, text=False, inside=_in_npz),
    Format("paper", _paper, _read_dos, share=0.5),
)
