# viva voce: everything a fresh machine needs is behind `make run` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The tests compare torch with ONNX. Name another build here if you want one (a CUDA build, say).
TORCH  ?= torch==2.13.0

.PHONY: help run test lint types bench weights int8 peers clean

help:
	@echo "make run    install and start the service with three sample calls"
	@echo "make test   install everything and run all tests, real peers included"
	@echo "make bench  measure the scorer and 1,000 live calls"
	@echo "make lint   ruff and mypy"
	@echo "make weights CORPUS=DIR VOCODERS=DIR   train the shipped weights again: about eight hours on one core"
	@echo "make int8 CORPUS=DIR    make their int8 form again: a minute; needed whenever the weights change"

# Debian's python3 may come without the venv module; as root we can put that right. An old Python is asked for first, since no
# package mends it, and again, since the package may bring one.
NEW = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'
OLD = { echo "Python 3.11 or newer is needed, and $(PYTHON) is older: make run PYTHON=/usr/bin/python3.11, say" >&2; exit 1; }
$(BIN)/python:
	@! command -v $(PYTHON) >/dev/null || $(NEW) || $(OLD)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; } \
	  || { echo "Python 3.11 or newer with venv is needed: apt-get install python3-venv" >&2; exit 1; }
	@$(NEW) || $(OLD)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[examine]"
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[train,ssl,cluster,examine,test,lint]"
	@touch $@ $(VENV)/.serve

run: $(VENV)/.serve
	$(BIN)/vivavoce serve --demo

peers:
	@sh tests/peers/install.sh

test: $(VENV)/.test peers
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

types: lint

bench: $(VENV)/.serve
	$(BIN)/vivavoce bench scorer
	$(BIN)/vivavoce bench live --calls 1000 --seconds 60

# Five teachers, from the third on with more recording worlds out of Debian's packages, the fourth a student of the first
# three, the fifth with copies by a vocoder that is trained for it; then their student, and what ships: the student gone over
# telephone lines. Every stage goes on where it was stopped. WORLDS may be a folder that is ready already; EXTRA goes to
# every training of a detector, OWN to that of the vocoder, INT8 to the int8 form (tests/models/test_weights.py makes all
# of it in miniature by these).
CORPUS   ?= ../shared/corpus
VOCODERS ?= ../shared/vocoders
WORLDS   ?= runs/worlds
READY     = $(VENV)/.test
TRAIN     = $(BIN)/vivavoce train --corpus $(CORPUS) --vocoders $(VOCODERS) $(EXTRA)
weights: $(READY)
	for n in 1 2; do $(TRAIN) models/recipes/teacher-$$n.toml --run runs/teacher-$$n || exit 1; done
	[ -f $(WORLDS)/manifest.csv ] || $(BIN)/vivavoce data worlds $(WORLDS)
	for n in 3 4; do $(TRAIN) models/recipes/teacher-$$n.toml --more $(WORLDS) --run runs/teacher-$$n || exit 1; done
	$(BIN)/vivavoce train-vocoder --corpus $(CORPUS) --more $(WORLDS) --run runs/vocoder $(OWN)
	$(TRAIN) models/recipes/teacher-5.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/teacher-5
	$(TRAIN) models/recipes/student.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/student
	$(TRAIN) models/recipes/telephone.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/telephone --out models/weights/vivavoce-1.onnx
	$(TRAIN) models/recipes/lines.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/lines
	$(TRAIN) models/recipes/copies.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/copies
	$(TRAIN) models/recipes/both.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/both
	$(TRAIN) models/recipes/answers.toml --more $(WORLDS) --own-vocoder runs/vocoder --run runs/answers --out models/weights/answers-1.onnx
	$(MAKE) int8

int8: $(READY)
	$(BIN)/vivavoce quantize models/weights/vivavoce-1.onnx models/weights/vivavoce-1-int8.onnx --corpus $(CORPUS) $(INT8)

clean:
	rm -rf $(VENV) build dist *.egg-info
