from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest
import torch
from monai.bundle import ConfigParser

from monai_vqoasis.configuration import bundle_root, check_config_keys
from monai_vqoasis.errors import InputError, MissingPackageError, NonFiniteLossError, find_user_error, require
from monai_vqoasis.settings import check_choice, check_setting, chosen, drop_down
from monai_vqoasis.visualize import picture_grid


def test_outside_a_workflow_the_root_is_the_working_folder():
    assert bundle_root() == "."
    check_config_keys()  # nothing to check


def test_a_drop_down_from_which_nothing_was_chosen_is_its_first():
    choices = drop_down("b", ["a", "b", "c"])
    assert choices == ["b", "a", "c"]
    assert check_choice("letter", chosen(choices), ["a", "b", "c"]) == "b"
    assert check_choice("letter", chosen("c"), ["a", "b", "c"]) == "c"
    with pytest.raises(InputError, match="letter must be one of a, b, c, got 'd'"):
        check_choice("letter", chosen(drop_down("d", ["a", "b", "c"])), ["a", "b", "c"])


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


def test_ctrl_c_is_no_traceback():
    code = "from monai_vqoasis.configuration import short_errors\nshort_errors()\nraise KeyboardInterrupt"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode in (130, -signal.SIGINT)
    assert result.stderr == "stopped.\n"


def test_what_the_system_refuses_and_what_a_worker_says_is_found():
    refused = find_user_error(PermissionError(errno.EACCES, "Permission denied", "a.png"))
    assert str(refused) == "a.png: cannot be read or written (Permission denied); name another place."
    assert find_user_error(PermissionError(errno.EACCES, "Permission denied")) is None
    text = "Caught X in worker 0.\nOriginal Traceback (most recent call last):\nmonai_vqoasis.errors.InputError: a: b\n"
    found = find_user_error(RuntimeError(text))
    assert isinstance(found, InputError)
    assert str(found) == "a: b"
    assert str(InputError("two\nlines")) == "two lines"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 2.0, "batch_size must be a whole number, got 2.0"),
        ("batch_size", True, "batch_size must be a whole number, got True"),
        ("batch_size", 0, "batch_size must be 1 or more, got 0"),
        ("learning_rate", 0.0, "learning_rate must be above 0, got 0.0"),
        ("mirror_prob", 2, "mirror_prob must be 0 to 1, got 2"),
        ("redraw_above", float("nan"), "redraw_above must be finite, got nan"),
        ("roi_size", [16, 0], r"roi_size must be 1 or more, got \[16, 0\]"),
        ("roi_size", 16, r"roi_size must be a list like \[176, 208\], got 16"),
        ("max_grad_norm", "1", "max_grad_norm must be a number or None, got '1'"),
        ("top_k", 1.5, "top_k must be None or a whole number, got 1.5"),
        ("output_dir", "", "output_dir must be a path, got ''"),
        ("sections", "all", "sections must be a list or a dictionary, got 'all'"),
    ],
)
def test_settings_are_held_against_their_defaults(key, value, message):
    defaults = {
        "batch_size": [8, 16], "learning_rate": [0.002, "$expression"], "mirror_prob": [0.5], "redraw_above": [1.0],
        "roi_size": [[176, 208]], "max_grad_norm": [1.0, None], "top_k": [None], "output_dir": ["$@bundle_root"],
        "sections": [[{"_target_": "Section"}], {"train": 1.0}],
    }  # fmt: skip
    for right in {"max_grad_norm": [None, 2], "output_dir": ["here"], "learning_rate": [1], "sections": [[]]}.get(
        key, defaults[key]
    ):
        check_setting(key, right, defaults[key])
    with pytest.raises(InputError, match=message):
        check_setting(key, value, defaults[key])


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
