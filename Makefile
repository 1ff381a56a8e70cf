# Every target sets up what it needs. The set-up runs again only if one of the files that it depends on has changed.
# Paths are left to the shell, which takes them as they are: a checkout may lie in a folder with spaces or an apostrophe.
BIN := .venv/bin
READY := .venv/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHON

.PHONY: help train play bench test lab docs notebooks readme

help:
	@echo 'make train      train an agent; options: make train ARGS="--help"'
	@echo 'make play       let the shipped agent play and write a video; options as above'
	@echo 'make bench      measure how fast it is on this machine, in about two minutes; options as above'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make test       run every notebook and every other test; all of the long forms: make test ARGS="--full"'
	@echo 'make docs       build the site into _docs/'
	@echo 'make notebooks  export the modules, run every notebook in full and save its outputs'
	@echo 'make readme     write README.md from nbs/index.ipynb'

train: $(READY)
	@$(BIN)/python -m mario_dqn train $(ARGS)

play: $(READY)
	@$(BIN)/python -m mario_dqn infer $(ARGS)

bench: $(READY)
	@$(BIN)/python -m mario_dqn bench $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest tests $(ARGS)

lab: $(READY)
	$(BIN)/python -m jupyterlab nbs

docs: $(READY)
	@$(BIN)/python tests/build_site.py

notebooks: $(READY)
	$(BIN)/nbdev_export
	find nbs -name '*.ipynb' -not -path '*/.*' | sort | xargs $(BIN)/python -m nbconvert --log-level=WARN --to notebook --execute --inplace \
	    --ExecutePreprocessor.timeout=-1 --ExecutePreprocessor.store_widget_state=False
	$(BIN)/nbdev_clean
	$(BIN)/python tests/build_readme.py

readme: $(READY)
	$(BIN)/python tests/build_readme.py

# Scripts in a virtual environment hold its path, so one that came here with a moved checkout is of no use.
ifneq ($(shell [ "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" ] && echo here),here)
.PHONY: $(READY)
endif

$(READY): settings.ini setup.py constraints.txt
	@.ci/install
	@pwd -P > $(READY)
