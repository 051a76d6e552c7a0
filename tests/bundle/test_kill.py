"""A training that is killed loses nothing: the benchmark of that, in small."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.conftest import REPOSITORY


def test_a_killed_training_ends_as_one_that_was_not(tmp_path):
    script = [sys.executable, REPOSITORY / "benchmarks" / "kill_resume.py"]
    result = subprocess.run(
        [*script, "--kills", "1", "--seed", "3", "--output", tmp_path / "kills.json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    for numbers in json.loads((tmp_path / "kills.json").read_text()).values():
        assert numbers["kills"] == 1
        assert numbers["differences"] == []
