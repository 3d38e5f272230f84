# Verbs: demo, weights, weights-fashion, bench, test, test-browser, test-commands, test-slow, test-matrix, soak, mutation,
# lint, docs, notebooks, space, release, gpu-wheels, gpu-check, clean. Each builds the environment it needs in .venv, but for gpu-check, which takes the torch that is there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo weights weights-fashion bench test test-browser test-commands test-slow test-matrix soak mutation lint docs notebooks space release gpu-wheels gpu-check clean

# A refinement for a model that was trained for three minutes only: a higher rate, more wrong labels, and a
# little guidance kept.
REFINED := --steps 340 --images 4500 --learning-rate 5e-4 --wrong-labels 0.5 --guidance 1.15 --save-every 100

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Train the digits recipe (or go on where it was stopped), refine what came out, draw every digit, film
# the denoising, and measure how good it is.
demo: .venv/installed
	$(BIN)/mezzotint train $(if $(wildcard demo/trained/recipe.toml),--resume demo/trained,digits --out demo/trained)
	$(BIN)/mezzotint $(if $(wildcard demo/refined/recipe.toml),train --resume demo/refined,refine demo/trained --out demo/refined $(REFINED))
	$(BIN)/mezzotint sample demo/refined --count 10 --out demo/digits.png
	$(BIN)/mezzotint gif demo/refined --out demo/gifs
	$(BIN)/mezzotint gif demo/refined --out demo/gifs --layout grid
	$(BIN)/mezzotint evaluate demo/refined --count 2000 --out demo
	@echo "The grid: demo/digits.png   The films: demo/gifs/   The loss curve: demo/trained/loss.png   The measures: demo/evaluation.png"

# Train the shipped models again, measure them and put them in their place: about an hour.
weights: .venv/installed
	$(BIN)/mezzotint train $(if $(wildcard runs/digits-long/recipe.toml),--resume runs/digits-long,digits-long --out runs/digits-long)
	$(BIN)/mezzotint refine runs/digits-long --out runs/digits-refined
	$(BIN)/mezzotint refine runs/digits-refined --out runs/digits
	$(BIN)/mezzotint refine runs/digits --wrong-labels 0.75 --beta 0.2 --images 6000 --steps 250 --out runs/digits-final
	$(BIN)/python benchmarks/release.py runs/digits-final digits
	$(BIN)/mezzotint distill digits --out runs/digits-distilled
	$(BIN)/mezzotint refine runs/digits-distilled --out runs/digits-fast
	$(BIN)/python benchmarks/release.py runs/digits-fast digits-fast

# The same for clothes, with the two classifiers that measure them: two hours.
weights-fashion: .venv/installed
	$(BIN)/mezzotint train-classifier runs/fashion-plain.safetensors --data fashion-mnist --width 3 --augmentation erase --epochs 20 --precision bf16
	$(BIN)/mezzotint train-classifier runs/fashion-residual.safetensors --data fashion-mnist --kind residual --augmentation mirror --epochs 8 --precision bf16
	$(BIN)/mezzotint train $(if $(wildcard runs/fashion/recipe.toml),--resume runs/fashion,fashion --out runs/fashion)
	$(BIN)/mezzotint refine runs/fashion --out runs/fashion-r1
	$(BIN)/mezzotint refine runs/fashion-r1 --out runs/fashion-r2
	$(BIN)/mezzotint refine runs/fashion-r2 --out runs/fashion-r3 --wrong-labels 0.125
	$(BIN)/python benchmarks/release.py runs/fashion-r3 fashion --judge runs/fashion-plain.safetensors --witness runs/fashion-residual.safetensors
	$(BIN)/mezzotint distill fashion --out runs/fashion-distilled
	$(BIN)/mezzotint refine runs/fashion-distilled --out runs/fashion-fast
	$(BIN)/python benchmarks/release.py runs/fashion-fast fashion-fast --judge runs/fashion-plain.safetensors --witness runs/fashion-residual.safetensors

# Measure speed, into docs/benchmarks.md; time to quality against peers is a command of its own.
bench: .venv/installed
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/targets.py

test: .venv/installed
	$(BIN)/pytest

# The pages in a real browser (chromium); without one, the tests say that they are skipped.
test-browser: .venv/installed
	$(BIN)/pytest tests/test_browser*.py -m slow -n 0 -rs --show-capture=no

# Slow tests that continuous integration runs: the README's commands, examples, commands in processes of their
# own on other machines and terminals, kills.
test-commands: .venv/installed
	$(BIN)/pytest -m slow tests/test_readme.py tests/test_examples.py tests/test_processes.py tests/test_kills.py \
	  tests/test_offline.py tests/test_evaluation.py tests/test_run_pictures.py tests/test_runtime.py \
	  tests/test_training.py tests/test_other_*.py

test-slow: .venv/installed
	$(BIN)/pytest -m slow -n 0

# The fast tests with each Python that is here and each torch that pip finds, each in an environment of its own
# under .matrix. MATRIX="--torch 2.14.1 --python python3.12" chooses.
MATRIX ?=
test-matrix:
	$(PYTHON) .ci/matrix.py $(MATRIX)

# Attack everything that the package promises, and write the figures to docs/reliability.md; half an hour on two quiet cores.
# SOAK="kills mutants" chooses.
SOAK ?=
soak: .venv/installed
	PYTHONPATH=tests $(BIN)/python -m soak --write $(SOAK)

# Change the mathematics by one operator or number at a time, and look for what no test notices.
mutation: .venv/installed
	$(BIN)/pip install --quiet cosmic-ray==8.7.0
	PYTHONPATH=tests $(BIN)/python -m soak.mutation --write

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/sphinx-build -W -q docs docs/_build

# Run the sources in notebooks/ from top to bottom, into notebooks/*.ipynb with what they show.
# In fp32 everywhere: what a notebook claims is not to depend on a timing.
notebooks: .venv/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[notebooks]'
	MEZZOTINT_WITHOUT=bf16 $(BIN)/jupytext --to ipynb --set-kernel python3 --execute notebooks/*.py

# The studio as a Hugging Face Space, ready to be pushed there: dist/space.
space:
	rm -rf dist/space
	mkdir -p dist/space
	cp space/app.py space/README.md space/requirements.txt LICENSE dist/space
	cp -r src dist/space/src
	find dist/space -name __pycache__ -prune -exec rm -rf {} +

# Everything that has to hold before a release, step by step. RELEASE=--quick leaves the tests out.
RELEASE ?=
release: .venv/installed
	$(BIN)/python .ci/release.py $(RELEASE)

# What gpu-check needs beside torch and numpy, for a machine without a network: wheels for Python $(GPU_PYTHON).
GPU_PYTHON ?= 3.12
GPU_PACKAGES := accelerate anyio attrs beartype certifi charset-normalizer click contourpy cycler cyclopts \
	docstring_parser filelock fonttools fsspec h11 hf-xet httpcore2 httpx2 huggingface_hub idna iniconfig jaxtyping \
	kiwisolver markdown-it-py matplotlib mdurl packaging pillow platformdirs pluggy pooch psutil Pygments pyparsing \
	pytest python-dateutil PyYAML requests rich rich-rst safetensors six tomlkit tqdm truststore typing_extensions \
	urllib3 wadler_lindig
gpu-wheels: .venv/installed
	$(BIN)/pip download --quiet --dest .wheels --no-deps --only-binary :all: --python-version $(GPU_PYTHON) \
		--constraint constraints.txt $(GPU_PACKAGES)

# Everything that only a GPU can show, in at most nine minutes, into docs/benchmarks.md. GPU_CHECK="--device cpu --quick"
# goes through the same steps where there is none.
GPU_CHECK ?=
gpu-check:
	if [ -d .wheels ]; then $(PYTHON) -m pip install --quiet --no-index --find-links .wheels --no-deps \
		--upgrade --target .wheels/site $(GPU_PACKAGES); fi
	PYTHONPATH=src:.wheels/site $(PYTHON) benchmarks/gpu_check.py $(GPU_CHECK)

clean:
	rm -rf .venv .wheels demo dist docs/_build notebooks/*.ipynb .pytest_cache .mypy_cache .ruff_cache
