# Two commands: `make demo` shows the whole pipeline, `make test` checks it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUNDLE_RUN := $(BIN)/python -W ignore -m monai.bundle run
CONFIGS := bundle/configs

# The demo trains for minutes, not hours: few epochs, the middle of the slices.
DEMO := demo
DEMO_DATA := $(DEMO)/slices
DEMO_ROI := "[176, 208]"

.PHONY: demo test lint clean

$(READY): pyproject.toml constraints.txt
	@echo "==> environment: $(VENV) (about two minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,dev,evaluation]"
	@touch $@

$(DEMO_DATA)/LICENCE.txt: | $(READY)
	@echo "==> demo cohort: synthetic people from the ICBM 2009 template"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/prepare_demo.json --dataset_dir $(DEMO_DATA)

demo: $(READY) $(DEMO_DATA)/LICENCE.txt
	@echo "==> 1/5 stage 1: VQ-VAE (about eight minutes)"
	@$(BUNDLE_RUN) training --config_file $(CONFIGS)/train.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/train --max_epochs 4 --roi_size $(DEMO_ROI)
	@echo "==> 2/5 stage 2: PixelCNN prior (about two minutes)"
	@$(BUNDLE_RUN) training --config_file $(CONFIGS)/train_prior.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/train_prior --max_epochs 4 --batch_size 16 --learning_rate 0.001 \
		--roi_size $(DEMO_ROI)
	@echo "==> 3/5 reconstruct the test section"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/inference.json --dataset_dir $(DEMO_DATA)/keras_png_slices_test \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/reconstruct
	@echo "==> 4/5 generate"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/generate.json \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/generate --num_samples 16
	@echo "==> 5/5 evaluate on the test section"
	@$(BUNDLE_RUN) --config_file $(CONFIGS)/evaluate.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/evaluate --num_samples 64 --codec_slices 24
	@echo "==> done. Look at:"
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

clean:
	rm -rf $(VENV) $(DEMO)
