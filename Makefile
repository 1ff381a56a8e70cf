# Every target sets up what it needs. The set-up runs again only if one of the files that it depends on has changed.
BIN := .venv/bin
READY := .venv/.ready
UV := $(shell command -v uv 2>/dev/null)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

MISSING := Python 3.13 is needed and was not found. Install it from python.org or with your package manager, \
or install uv (docs.astral.sh/uv), which fetches it; if it is there but not on the PATH: make PYTHON=/path/to/python3.13

.PHONY: help train play bench test lab docs notebooks readme

help:
	@echo 'make train      train an agent; options: make train ARGS="--help"'
	@echo 'make play       let the shipped agent play and write a video; options as above'
	@echo 'make bench      measure how fast it is on this machine, in about two minutes; options as above'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make test       run every notebook and every other check'
	@echo 'make docs       build the site into _docs/'
	@echo 'make notebooks  run every notebook in full, save its outputs, and export the modules'
	@echo 'make readme     write README.md from nbs/index.ipynb'

train: $(READY)
	$(BIN)/mario_dqn train $(ARGS)

play: $(READY)
	$(BIN)/mario_dqn infer $(ARGS)

bench: $(READY)
	$(BIN)/mario_dqn bench $(ARGS)

test: $(READY)
	@$(BIN)/python .ci/tests.py

lab: $(READY)
	$(BIN)/jupyter-lab nbs

docs: $(READY)
	@$(BIN)/python .ci/docs.py

notebooks: $(READY)
	$(BIN)/jupyter-nbconvert --log-level=WARN --to notebook --execute --inplace --ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.store_widget_state=False \
	    $$(find nbs -name '*.ipynb' -not -path '*/.*' | sort)
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python .ci/readme.py

readme: $(READY)
	$(BIN)/python .ci/readme.py

# Scripts in a virtual environment hold its path, so one that came here with a moved checkout is of no use.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

$(READY): settings.ini setup.py constraints.txt
	$(eval FOUND := $(shell PYTHON='$(PYTHON)' .ci/find_python))
	$(if $(FOUND),,$(error $(MISSING)))
	@.ci/install '$(FOUND)' '$(UV)'
	@echo '$(CURDIR)' > $(READY)
