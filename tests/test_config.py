"""Where configs are, what is in them, hints."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import nnlab
from nnlab.config import (
    GROUPS,
    LIST_GROUPS,
    ConfigError,
    Library,
    choices_of,
    config_folder,
    load_yaml,
    nearest,
)


def every_option():
    library = Library()
    return [option for group in library.groups for option in library.options(group).values()]


@pytest.mark.parametrize("option", every_option(), ids=lambda option: f"{option.group}={option.name}")
def test_option_begins_with_a_line_that_says_what_it_is(option):
    lines = option.path.read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first == f"# {option.meaning}"
    assert 10 <= len(option.meaning) <= 90
    assert not option.meaning.endswith(".")
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize("option", every_option(), ids=lambda option: f"{option.group}={option.name}")
def test_option_of_a_list_group_stands_under_its_own_name(option):
    if option.group in LIST_GROUPS:
        assert list(option.content) == [option.name]
        assert "_target_" in option.content[option.name]
    elif option.group not in ("experiment", "compare"):
        assert "_target_" in option.content


def test_every_group_has_a_meaning_and_a_default():
    library = Library()
    assert library.groups == [group for group in GROUPS if group in library.groups]
    assert set(library.default_choices()) == set(library.groups)


def test_experiments_say_which_figures_to_expect():
    for option in Library().options("experiment").values():
        text = option.path.read_text(encoding="utf-8")
        assert text.startswith("# @package _global_\n")
        assert f"nnlab train experiment={option.name}" in text
        assert "# Expect " in text


def test_root_has_the_keys_of_the_contract():
    root = Library().root
    assert {key: root[key] for key in ("seed", "device", "name", "figures", "plugins")} == {
        "seed": 0,
        "device": "auto",
        "name": None,
        "figures": ["png", "svg"],
        "plugins": [],
    }


#: DESIGN.md, section 4
CONTRACT = {
    "data": "batch_size shuffle seed noise standardize standardize_target input_scale num_test",
    "model": "depth width widths activation output_activation dropout norm bias",
    "init": "bias",
    "optim": "lr",
    "schedule": "warmup_steps unit",
    "loss": "class_weight",
    "trainer": "max_epochs max_steps eval_every monitor accumulate_steps grad_clip_norm precision threads "
    "deterministic checkpoint_every on_divergence",
}


@pytest.mark.parametrize("group", CONTRACT)
def test_default_option_has_the_keys_of_the_contract(group):
    library = Library()
    (option,) = library.default_choices()[group]
    assert set(CONTRACT[group].split()) <= set(library.options(group)[option].content)


def test_inline_data_have_inputs_and_targets():
    assert {"inputs", "targets"} <= set(Library().options("data")["inline"].content)


def test_configs_are_found_beside_the_sources_and_inside_the_package(tmp_path):
    package = Path(nnlab.__file__).parent
    assert config_folder() in (package / "configs", package.parents[1] / "configs")
    (tmp_path / "nnlab").mkdir()
    for name in ("__init__.py", "config.py"):
        (tmp_path / "nnlab" / name).write_bytes((package / name).read_bytes())
    find = "import nnlab.config as c\ntry: print(c.config_folder())\nexcept c.ConfigError as e: print('refused', e)"

    def answer():
        command = [sys.executable, "-c", find]
        return subprocess.run(
            command, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert answer().startswith("refused nnlab's configs are missing: neither ")
    (tmp_path / "nnlab" / "configs").mkdir()
    (tmp_path / "nnlab" / "configs" / "config.yaml").write_text("seed: 0\n")
    assert answer() == str(tmp_path / "nnlab" / "configs")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1", "expected ',' or ']'"),
        (b"- a\n- b\n", "expected keys and values, found list"),
        (b"just words", "expected keys and values, found str"),
        (b"a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        (b"a: \xff", "can't decode"),
    ],
)
def test_yaml_that_is_no_config_is_refused_naming_the_file(content, words, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load_yaml(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)


def test_yaml_is_read_as_a_safe_loader_reads_it_and_empty_as_no_keys(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: 1.5\nb: [x, null]\nünï: {c: true}\n", encoding="utf-8")
    assert load_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text("# nothing\n")
    assert load_yaml(path) == {}


def test_choices_of_a_defaults_list():
    defaults = ["_self_", {"data": "rings"}, {"override /optim": "sgd"}, {"metric": ["a", "b"]}, {"callback": []}]
    defaults += [{"experiment": None}, {"override hydra/job_logging": "nnlab"}, {"/lab": "x"}]
    defaults += [{"optional experiment/optim": "${optim}"}, {"optional /model": "linear"}]
    assert choices_of(defaults) == {
        "data": ["rings"],
        "optim": ["sgd"],
        "metric": ["a", "b"],
        "callback": [],
        "experiment": [],
        "lab": ["x"],
        "model": ["linear"],
    }


@pytest.mark.parametrize(
    ("word", "names", "hint"),
    [
        ("optm", ["optim", "data"], "; did you mean optim?"),
        ("adm", ["adam", "nadam", "sgd"], "; did you mean adam or nadam?"),
        ("OPTIM", ["optim", "data"], "; did you mean optim?"),
        ("sgd", ["SGD", "Adam"], "; did you mean SGD?"),
        ("xyz", ["optim", "data"], ""),
        ("lr", {"lr": "optim.lr", "eps": "optim.eps"}, "; did you mean optim.lr?"),
    ],
)
def test_nearest_names_are_offered(word, names, hint):
    assert nearest(word, names) == hint


def test_user_options_come_beside_nnlabs_and_doubles_are_refused(tmp_path):
    (tmp_path / "optim").mkdir()
    (tmp_path / "optim" / "mine.yaml").write_text("# Mine\nlr: 1\n")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "x.yaml").write_text("# X\n")
    (tmp_path / "notes").mkdir()
    library = Library([tmp_path])
    assert library.groups == [*Library().groups, "lab"]
    assert library.options("optim")["mine"].meaning == "Mine"
    assert set(library.options("optim")) == {*Library().options("optim"), "mine"}
    (tmp_path / "optim" / "sgd.yaml").write_text("# Other\nlr: 1\n")
    with pytest.raises(ConfigError, match="nnlab has optim=sgd too; rename it"):
        Library([tmp_path])
