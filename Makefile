# Everything runs from the lock file in .venv; uv is fetched with pip when it is missing.
UV := $(shell command -v uv 2>/dev/null || echo .bootstrap/bin/uv)
export HF_HUB_OFFLINE ?= 1
# Some machines switch bytecode off; without it every process compiles torch and transformers again, for 10 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 22

.bootstrap/bin/uv:
	python3 -m pip install --quiet --target .bootstrap uv

.PHONY: install
install: $(filter .bootstrap/bin/uv,$(UV)) ## install everything from the lock file
	$(UV) sync --frozen --all-extras --all-groups

.PHONY: demo
demo: $(filter .bootstrap/bin/uv,$(UV)) ## set up, turn the demo video into shards, show a document
	$(UV) sync --frozen --inexact --no-dev --extra demo
	.venv/bin/storyloom run configs/demo.yaml
	.venv/bin/storyloom show out/demo/shards

.PHONY: demo-s3
demo-s3: install ## the demo with work and shards in an S3 store on this machine, held against those of `make demo`
	$(UV) run --no-sync python -m demo.in_a_store

.PHONY: demo-fuse
demo-fuse: install ## the demo with captions and fusions of small stand-ins, and its document before and after
	$(UV) run --no-sync python -m demo.fuse

PYTHON ?= 3.12
# The commands of pyenv answer only for the version that this names; uv looks for an interpreter there, too.
python demo-python: export PYENV_VERSION = $(shell pyenv latest $(PYTHON) 2>/dev/null)
python demo-python: export UV_PYTHON = $(PYTHON)
demo-python: export UV_PROJECT_ENVIRONMENT = .venv-$(PYTHON)

.PHONY: python
python: $(filter .bootstrap/bin/uv,$(UV)) ## find Python PYTHON=3.12, or fetch it
	$(UV) python find --quiet $(PYTHON) || $(UV) python install --quiet $(PYTHON)

.PHONY: demo-python
demo-python: $(filter .bootstrap/bin/uv,$(UV)) ## the README's commands on Python PYTHON=3.12, in an environment of its own
	$(UV) sync --frozen --no-dev --extra demo
	.ci/readme .venv-$(PYTHON)

.PHONY: test
test: install ## set up and run the tests in two processes, but for the slow ones and the consumers
	$(UV) run --no-sync pytest -n 2 --dist loadfile -m "not slow and not consumers"

.PHONY: test-consumers
test-consumers: install ## load shards with every trainer's library, two of them in environments of their own
	for lock in tests/consumers/envs/*/uv.lock; do $(UV) sync --quiet --frozen --project $${lock%/uv.lock} || exit 1; done
	$(UV) run --no-sync pytest -m consumers

.PHONY: test-slow
test-slow: install ## the tests that take too long for `make test`
	$(UV) run --no-sync pytest -m "slow and not long"

.PHONY: test-long
test-long: install ## drills that CI does on a disk alone, in a store
	$(UV) run --no-sync pytest -m long

.PHONY: test-explore
test-explore: install ## the property tests, each with examples that no run had before
	$(UV) run --no-sync pytest -n 2 --dist loadfile -m hypothesis --hypothesis-profile explore

FUZZ_SECONDS ?= 600
SEED ?= 0

.PHONY: fuzz
fuzz: install ## mutated media, subtitles, lists, configs and datasets for FUZZ_SECONDS=600 in all, from SEED=0 on
	$(UV) run --no-sync python -m tests.fuzz --seconds $(FUZZ_SECONDS) --seed $(SEED)

.PHONY: lint
lint: install ## formatting, lint, types, committed schemas and settings
	$(UV) run --no-sync ruff format --check .
	$(UV) run --no-sync ruff check .
	$(UV) run --no-sync mypy
	$(UV) run --no-sync storyloom schema check schemas/json
	$(UV) run --no-sync storyloom schema settings docs/settings.md --check

.PHONY: schemas
schemas: install ## write the JSON Schemas and the page of settings that are committed
	$(UV) run --no-sync storyloom schema export schemas/json
	$(UV) run --no-sync storyloom schema settings docs/settings.md

BENCH_VIDEOS := laion400m_intro autoeditor_example googlework_short nasa_13013_multistream

.PHONY: bench
bench: install ## how fast every stage is beside its limit and other tools (uses ../shared/data/videos where it is)
	mkdir -p out/bench
	$(UV) run --no-sync storyloom bench speed --memory-hours 2 --json out/bench/speed.json \
	  $(addprefix --video ,$(wildcard $(BENCH_VIDEOS:%=../shared/data/videos/%.mp4)))

.PHONY: bench-align
bench-align: install ## how well frames meet their sentences (uses ../shared/data/flickr8k where it is)
	$(UV) run --no-sync storyloom bench align $(addprefix --photos ,$(wildcard ../shared/data/flickr8k))

.PHONY: bench-orchestration
bench-orchestration: install ## what the runners, a plan of a million videos and the status of 20,000 parts cost
	$(UV) run --no-sync storyloom bench orchestration

.PHONY: demo-model
demo-model: install ## fit the demo's image-text model again (needs ../shared/data/flickr8k)
	$(UV) run --no-sync python demo/fit_model.py

.PHONY: demo-graphs
demo-graphs: install ## write the ONNX graphs of the demo's image-text model again
	$(UV) run --no-sync python -m demo.make_graphs

.PHONY: demo-video
demo-video: install ## make the demo video again (needs ffmpeg and flite)
	$(UV) run --no-sync python demo/make_video.py

.PHONY: docs
docs: install ## build the pages of docs/ as a site, into out/site
	$(UV) run --no-sync zensical build --strict

.PHONY: clean
clean: ## remove what was built and what the demo wrote
	rm -rf out .venv .venv-* .bootstrap .mypy_cache .ruff_cache .pytest_cache
