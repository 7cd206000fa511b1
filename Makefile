# `make demo` and `make test` install everything that they need; the other targets are for developers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= runs/demo
# Arguments for pytest: two processes by default; or TESTARGS=tests/nn for a part, in one process.
# Without a limit, a test that ends its process would be tried again many times.
TESTARGS ?= -n 2 --dist loadfile --max-worker-restart 1
# For make fuzz. Another SEED makes other damaged files; FORMATS="off,cif" reads only these.
INPUTS ?= 20000
SEED ?= 1
FORMATS ?=
# Python compiles the modules that are used, and keeps them. Compiling all takes longer than the rest of
# the set-up, but where Python may not keep them, each process would compile its own.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(PYTHONDONTWRITEBYTECODE),,--no-compile) -c constraints.txt

.PHONY: help setup demo test fuzz bench results tables weights carbon-weights shape-weights calibrate lint pyright format docs clean

help:
	@echo "make demo    train on the built-in solids, test under SO(3), draw the pictures"
	@echo "make test    run the whole test suite"
	@echo "make fuzz    read 20,000 damaged files of all formats (INPUTS, SEED, FORMATS)"
	@echo "make bench   measure speed and memory against plain DGL and PyTorch Geometric"
	@echo "make results measure the figures of the documents (ONLY=demo: a part), and write them"
	@echo "make tables  train all systems of the paper's tables, small, on built-in data"
	@echo "make weights train the models that the package ships (needs PHONON_DATA)"
	@echo "make carbon-weights train carbon-all (needs CARBON24, and some hours)"
	@echo "make shape-weights train the two embeddings of shapes that the package ships (the larger on a GPU)"
	@echo "make calibrate learn again what the shipped models know (needs PHONON_DATA)"
	@echo "make lint    check with ruff, and with mypy for Linux, Windows and macOS"
	@echo "make pyright check that pyright finds every import"
	@echo "make format  rewrite the code with ruff"
	@echo "make docs    run the tutorials, and build all pages as HTML (TUTORIALS=0: without running)"
	@echo "make setup   make only the environment, in $(VENV)"

# Made again whenever the list of packages changes.
$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[dev]"
	touch $@

setup: $(VENV)/.installed

demo: setup
	@rm -rf $(DEMO)
	$(BIN)/csgnn-dgl train modelnet --preset quick --output $(DEMO)
	$(BIN)/csgnn-dgl evaluate $(DEMO) --rotation so3
	@echo "pictures: $(DEMO)/*.png"

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(TESTARGS)

# The defects found lie in build/fuzz.
fuzz: setup
	rm -rf build/fuzz
	$(BIN)/python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED) --formats "$(FORMATS)"

bench: setup
	$(BIN)/csgnn-dgl benchmark --output benchmarks/results

# Figures that were measured with this version are not measured again. Data that do not come with the
# package are named by PHONON_DATA, CARBON_DATA, SHREC11_DATA and MODELNET10_DATA; without them, their
# figures stay as they are. The figures of speed come from `make bench`.
ONLY ?=
results: setup
	$(BIN)/python benchmarks/results.py --only "$(ONLY)"

# The paper's tables, small, on built-in data. It can be stopped at any moment, and goes on from there.
# Two processes with a core each share the cells of a table, except where time itself is measured.
COMPARE := $(BIN)/csgnn-dgl compare
in_two = OMP_NUM_THREADS=1 $(COMPARE) $(1) & \
	OMP_NUM_THREADS=1 $(COMPARE) $(1); status=$$?; wait $$! && exit $$status

tables: setup
	$(call in_two,table1 --budget 0.4 --output results/table1)
	$(call in_two,table2 --budget 1.5 --output results/table2)
	$(call in_two,table3 --budget 0.4 --output results/table3)
	$(COMPARE) table4 --output results/table4

# Trains the models that the package ships. PHONON_DATA is a folder with train.extxyz, validation.extxyz
# and grid.json. The carbon data are made first, which takes half an hour on two cores.
weights: setup
	$(BIN)/csgnn-dgl data make carbon-tb --to data/carbon-tb --projected
	$(BIN)/csgnn-dgl train dos --data data/carbon-tb --preset compact --cutoff 4 \
		--band-weight 0.003 --epochs 150 --weight-decay 1e-6 --output runs/weights-carbon-tb
	$(BIN)/csgnn-dgl evaluate runs/weights-carbon-tb --votes 8 --vote-set random
	$(BIN)/csgnn-dgl train dos --data $(PHONON_DATA) --preset crystals --output runs/weights-phonon-dos
	$(BIN)/csgnn-dgl evaluate runs/weights-phonon-dos
	$(BIN)/csgnn-dgl train dos --data $(PHONON_DATA) --preset crystals --members 4 --passes 1 \
		--filter-order 1 --epochs 50 --output runs/weights-phonon-dos-4
	$(BIN)/csgnn-dgl evaluate runs/weights-phonon-dos-4
	$(BIN)/python -m csgnn_dgl.tasks.ship runs/weights-carbon-tb carbon-tb
	$(BIN)/python -m csgnn_dgl.tasks.ship runs/weights-phonon-dos phonon-dos
	$(BIN)/python -m csgnn_dgl.tasks.ship runs/weights-phonon-dos-4 phonon-dos-4

# Trains carbon-all. CARBON24 is a folder with Carbon-24's train.extxyz and validation.extxyz; the latter
# is only for testing. Labels take an hour on two cores; structures that cannot have any are passed over.
LABEL := $(BIN)/csgnn-dgl data make carbon-tb --projected
carbon-weights: setup
	$(LABEL) --to data/carbon-tb
	mkdir -p data/carbon24-structures
	cp $(CARBON24)/train.extxyz data/carbon24-structures/train.extxyz
	cp $(CARBON24)/validation.extxyz data/carbon24-structures/test.extxyz
	$(LABEL) --structures data/carbon24-structures/train.extxyz \
		--structures data/carbon24-structures/test.extxyz --to data/carbon24 || \
		test -f data/carbon24/grid.json
	$(BIN)/python benchmarks/displaced_carbon.py data/carbon24 --to data/displaced-structures
	$(LABEL) --structures data/displaced-structures/train.extxyz \
		--structures data/displaced-structures/validation.extxyz --to data/displaced || \
		test -f data/displaced/grid.json
	rm -rf data/carbon-all
	$(BIN)/csgnn-dgl data join data/carbon-tb data/carbon24 data/displaced --to data/carbon-all
	$(BIN)/csgnn-dgl train dos --data data/carbon-all --preset compact --cutoff 5.5 \
		--band-weight 0.003 --epochs 40 --weight-decay 1e-6 --output runs/weights-carbon-all
	$(BIN)/csgnn-dgl evaluate runs/weights-carbon-all --votes 8 --vote-set random
	$(BIN)/python -m csgnn_dgl.tasks.ship runs/weights-carbon-all carbon-all

# Trains the embeddings of shapes that the package ships, on shapes that are made first. The larger one
# takes 8 minutes on an H100, and some hours on two cores.
shape-weights: setup
	$(BIN)/csgnn-dgl train modelnet --preset embedding --data kinds --shapes-per-class 40 \
		--output runs/weights-shapes-small
	$(BIN)/csgnn-dgl train modelnet --preset embedding --data kinds --shapes-per-class 80 \
		--level 3 --batch-size 128 --learning-rate 0.006 --epochs 25 --output runs/weights-shapes
	for name in shapes-small shapes; do \
		$(BIN)/csgnn-dgl evaluate runs/weights-$$name --votes 4 && \
		$(BIN)/csgnn-dgl evaluate runs/weights-$$name --votes 4 --retrieval && \
		$(BIN)/python -m csgnn_dgl.tasks.ship runs/weights-$$name $$name || exit 1; \
	done

# Adds to the shipped models what they know, without training; the weights stay the same. Trainings do
# it by themselves. The measurement needs a run of make demo, and MESHES, a folder of other shapes.
calibrate: setup
	$(BIN)/csgnn-dgl data make carbon-tb --to data/carbon-tb
	$(BIN)/python -m csgnn_dgl.tasks.calibrate carbon-tb --data data/carbon-tb
	$(BIN)/python -m csgnn_dgl.tasks.calibrate phonon-dos --data $(PHONON_DATA)
	$(BIN)/python benchmarks/domain.py --carbon data/carbon-tb --phonon $(PHONON_DATA) \
		--classifier $(DEMO) $(if $(MESHES),--meshes $(MESHES)) --output benchmarks/results/domain.json

# With --platform and --python-version, mypy finds uses of what another system or Python lacks.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --platform linux --python-version 3.11
	$(BIN)/mypy --platform win32 --python-version 3.10
	$(BIN)/mypy --platform darwin --python-version 3.12

pyright: setup
	$(PIP) -e ".[pyright]"
	$(BIN)/basedpyright --project pyproject.toml --pythonpath $(BIN)/python

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(PIP) -e ".[docs]"
	rm -rf docs/_build docs/learn
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf $(VENV) build docs/_build docs/api docs/commands docs/learn *.egg-info .pytest_cache .ruff_cache .mypy_cache
