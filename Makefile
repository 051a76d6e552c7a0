# Two commands: `make demo` shows the whole pipeline, `make test` checks it. MONAI Label has an environment of its own:
# `make label`, `make test-label`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUNDLE_RUN := $(BIN)/python -W ignore -m monai.bundle run
CONFIGS := bundle/configs

# The demo trains for minutes, not hours.
DEMO := demo
DEMO_DATA := $(DEMO)/slices

LABEL_VENV := .venv-label
LABEL_BIN := $(LABEL_VENV)/bin
LABEL_READY := $(LABEL_VENV)/.ready
PIP_QUIETLY := pip install --quiet --disable-pip-version-check

.PHONY: demo test lint label test-label clean

$(READY): pyproject.toml constraints.txt
	@echo "==> environment: $(VENV) (about two minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/$(PIP_QUIETLY) -c constraints.txt -e ".[demo,dev,evaluation]"
	@touch $@

$(DEMO_DATA)/LICENCE.txt: | $(READY)
	@echo "==> demo cohort: synthetic people from the ICBM 2009 template"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/prepare_demo.json --dataset_dir $(DEMO_DATA)

demo: $(READY)
	@echo "==> 1/7 shipped weights: generate"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/generate.json --output_dir $(DEMO)/shipped/generate --num_samples 16
	@$(MAKE) --no-print-directory $(DEMO_DATA)/LICENCE.txt
	@echo "==> 2/7 shipped weights: reconstruct synthetic people, whom they have never seen"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/inference.json --view reconstruction \
		--dataset_dir $(DEMO_DATA)/keras_png_slices_test --output_dir $(DEMO)/shipped/reconstruct
	@echo "    Look at $(DEMO)/shipped/generate/generated.png and $(DEMO)/shipped/reconstruct/reconstructions.png"
	@echo "==> 3/7 train stage 1 on the synthetic people: VQ-VAE (three to four minutes)"
	@$(BUNDLE_RUN) training --config_file $(CONFIGS)/train.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/train --max_epochs 3
	@echo "==> 4/7 train stage 2: prior (one to three minutes)"
	@$(BUNDLE_RUN) training --config_file $(CONFIGS)/train_prior.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/train_prior --max_epochs 3 --num_variants 1 --warmup_steps 20
	@echo "==> 5/7 reconstruct the test section"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/inference.json --view reconstruction \
		--dataset_dir $(DEMO_DATA)/keras_png_slices_test --ckpt_dir $(DEMO)/models --output_dir $(DEMO)/reconstruct
	@echo "==> 6/7 generate"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/generate.json \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/generate --num_samples 16
	@echo "==> 7/7 evaluate on the test section"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/evaluate.json --dataset_dir $(DEMO_DATA) --ckpt_dir $(DEMO)/models \
		--output_dir $(DEMO)/evaluate --num_samples 64 --codec_slices 8 --samples_per_position 2
	@echo "==> done. Look at:"
	@echo "    $(DEMO)/shipped/                         what the shipped weights make"
	@echo "    $(DEMO)/reconstruct/reconstructions.png  slices, reconstructions, four times the difference"
	@echo "    $(DEMO)/generate/generated.png           new slices"
	@echo "    $(DEMO)/evaluate/report.html             how good they are"
	@echo "    $(DEMO)/train/metrics.csv, $(DEMO)/train_prior/metrics.csv, $(DEMO)/evaluate/metrics.json"

lint: $(READY)
	@echo "==> lint"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

test: lint
	@echo "==> tests"
	@$(BIN)/python -m pytest

# MONAI Label's own list of packages does not resolve to one that imports: only the tested set is installed.
$(LABEL_READY): pyproject.toml constraints-label.txt
	@echo "==> environment of MONAI Label: $(LABEL_VENV) (about two minutes)"
	@$(PYTHON) -m venv $(LABEL_VENV)
	@$(LABEL_BIN)/$(PIP_QUIETLY) -c constraints-label.txt torch
	@$(LABEL_BIN)/$(PIP_QUIETLY) --no-deps -r constraints-label.txt -e .
	@touch $@

label: $(LABEL_READY)
	@echo "==> $(LABEL_BIN)/python -m monai_vqoasis.label --studies <folder of slices or volumes>"

test-label: $(LABEL_READY)
	@echo "==> tests of the MONAI Label app"
	@$(LABEL_BIN)/python -m pytest tests/label

clean:
	rm -rf $(VENV) $(LABEL_VENV) $(DEMO)
