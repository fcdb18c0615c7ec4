# Two commands: `make demo` (set-up and the main job) and `make test` (set-up and tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
# A process for each core, one torch thread in each; a file's tests stay together and share what they trained.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses auto --dist loadfile --durations 20

.PHONY: help venv demo test test-bench people check lint types fast bench-speed bench-pong bench-peer bench-fits bench-fits-frames bench-taught bench-drawing bench-page bench-interrupted resume-exact kills crash soak clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'pip>=25.1'  # the first to know dependency groups
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	touch $@

venv: $(VENV)/.ready  ## Build .venv with everything; does nothing when it is there

demo: venv  ## Train HalfCheetah from 350 answers, and on the score beside it; about 5 minutes
	$(BIN)/python -m runs.demo --out $(DEMO)

test: venv  ## Every test but those that train grids of agents
	$(TEST) -m "not bench"

test-bench: venv  ## The tests of `prefrl bench` that train grids of agents; 3 minutes
	$(TEST) -m bench

check: venv lint types fast  ## Lint, types and fast tests

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv
	$(BIN)/mypy

fast: venv
	$(TEST) -m "not slow and not gpu and not bench"

bench-speed: venv  ## Wall clock on preferences against wall clock on the score, three pairs in turn
	$(BIN)/python -m runs.speed

bench-pong: venv  ## Pong on 1,000 answers without a GPU, beside the same learner on the score: six trainings of 60 to 85 minutes on a core each
	$(BIN)/prefrl bench runs/pong.toml --jobs 2

bench-peer: venv  ## The strongest peer beside us, run after run; PEER is the Python of its environment; about 25 minutes
	$(BIN)/python -m runs.peer --peer-python $(PEER)

people: venv  ## The window and the page in front of a training, with the promised times; wants a quiet machine, 5 minutes
	PREFRL_QUIET=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s tests/test_people_for_real_*.py tests/test_labeling_window.py \
		tests/test_labeling_page.py -k "for_real or sixty or 150_ms"

bench-fits: venv  ## What each setting of the fit makes of agents it was not asked about; needs the cells of runs/queries.toml, 15 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m runs.fits

bench-fits-frames: venv  ## What settings of the fit make of a game's answers that it never saw; RUN is a run on frames; 15 minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m runs.fits_frames $(RUN)

bench-taught: venv  ## A Hopper that leans back, a dot that goes left: what no score says; about 10 minutes
	$(BIN)/python -m runs.taught

bench-drawing: venv  ## What drawing clips for people costs; about 6 minutes
	$(BIN)/python -m runs.drawing

bench-page: venv  ## 50 scripted people and 5,000 answers over HTTP beside a training; about 8 minutes
	$(BIN)/python -m runs.page

crash: venv  ## Kills, power cuts, damage, full disks and hostile runs, as often as was promised; 20 minutes
	PREFRL_CRASH=full OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s tests/test_labeling_kill9.py \
		tests/test_labeling_power_loss.py tests/test_labeling_desk_model.py tests/test_labeling_recover.py \
		tests/test_labeling_backups.py tests/test_labeling_disk_full.py tests/test_labeling_clock.py tests/test_prefrl_damage.py \
		tests/test_prefrl_hostile_runs.py

bench-interrupted: venv  ## A benchmark killed five times at random beside one left alone
	$(BIN)/python -m runs.interrupted

resume-exact: venv  ## Trainings stopped and killed at 20 random points each beside one left alone
	OMP_NUM_THREADS=1 $(BIN)/python -m runs.resume_exact

kills: venv  ## kill -9 at every point of a checkpoint and at 200 random ones
	PREFRL_KILLS=200 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/test_prefrl_checkpoint_kills.py

soak: venv  ## Training with people who come and go: memory and queue; two hours
	$(BIN)/python -m runs.soak

clean:  ## Remove what was built
	rm -rf $(VENV) $(DEMO) build dist
