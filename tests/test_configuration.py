from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from monai.bundle import ConfigParser

from monai_vqoasis.configuration import bundle_root, check_choice, check_config_keys, drop_down
from monai_vqoasis.errors import InputError, MissingPackageError, NonFiniteLossError, find_user_error, require
from monai_vqoasis.visualize import picture_grid


def test_outside_a_workflow_the_root_is_the_working_folder():
    assert bundle_root() == "."
    check_config_keys()  # nothing to check


def test_a_drop_down_from_which_nothing_was_chosen_is_its_first():
    choices = drop_down("b", ["a", "b", "c"])
    assert choices == ["b", "a", "c"]
    assert check_choice("letter", choices, ["a", "b", "c"]) == "b"
    assert check_choice("letter", "c", ["a", "b", "c"]) == "c"
    with pytest.raises(InputError, match="letter must be one of a, b, c, got 'd'"):
        check_choice("letter", drop_down("d", ["a", "b", "c"]), ["a", "b", "c"])


def test_keys_that_an_overlay_of_ones_own_reads_are_known():
    config = {"own": 3, "batch_size": "$@own + 1", "initialize": "$configuration.check_config_keys()"}
    config["imports"] = ["$import monai_vqoasis.configuration as configuration"]
    ConfigParser({**config, "run": "$@batch_size"}).get_parsed_content("initialize")
    with pytest.raises(RuntimeError) as caught:
        ConfigParser({**config, "unread": 4, "run": "$@batch_size"}).get_parsed_content("initialize")
    assert "unknown config key unread" in str(find_user_error(caught.value))


def test_the_sentence_is_found_under_what_wraps_it():
    try:
        try:
            raise NonFiniteLossError("nan")
        except NonFiniteLossError as error:
            raise RuntimeError("applying transform") from error
    except RuntimeError as wrapped:
        assert str(find_user_error(wrapped)) == "nan"
    assert find_user_error(KeyError("x")) is None
    assert isinstance(InputError("x"), ValueError)


@pytest.mark.parametrize(("error", "short"), [("InputError('mine')", True), ("KeyError('not mine')", False)])
def test_only_the_users_mistakes_are_shortened(error, short):
    code = (
        "from monai_vqoasis.configuration import short_errors\nfrom monai_vqoasis.errors import InputError\n"
        f"short_errors(); short_errors()\nraise {error}"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert (result.stderr.strip() == "error: mine") == short
    assert ("Traceback" in result.stderr) != short


def test_pictures_of_several_sizes_are_centred():
    grid = picture_grid([[torch.ones(4, 6), torch.ones(2, 2)], [torch.zeros(4, 6)]], gap=1)
    assert grid.shape == (9, 13)
    assert (grid[:4, :6] == 255).all()
    assert (grid[1:3, 9:11] == 255).all()
    assert grid[:4, 7:].sum() == 4 * 255
    assert (grid[4] == 64).all()


def test_a_missing_package_is_named_with_its_extra():
    require("plots", "torch", "numpy")
    with pytest.raises(MissingPackageError, match=r'no_such_package not installed: .*"monai_vqoasis\[plots\]"'):
        require("plots", "torch", "no_such_package")
