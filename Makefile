# Two commands: `make demo` shows the whole pipeline, `make test` checks it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUNDLE_RUN := $(BIN)/python -W ignore -m monai.bundle run
CONFIGS := bundle/configs

# The demo trains for minutes, not hours.
DEMO := demo
DEMO_DATA := $(DEMO)/slices

.PHONY: demo test lint clean

$(READY): pyproject.toml constraints.txt
	@echo "==> environment: $(VENV) (about two minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,dev,evaluation]"
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
	@echo "==> 3/7 train stage 1 on the synthetic people: VQ-VAE (about three minutes)"
	@$(BUNDLE_RUN) training --config_file $(CONFIGS)/train.json --dataset_dir $(DEMO_DATA) \
		--ckpt_dir $(DEMO)/models --output_dir $(DEMO)/train --max_epochs 3
	@echo "==> 4/7 train stage 2: prior (about a minute)"
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
		--output_dir $(DEMO)/evaluate --num_samples 64 --codec_slices 24 --samples_per_position 2
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

clean:
	rm -rf $(VENV) $(DEMO)
