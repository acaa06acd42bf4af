"""Hydra's flags among overrides."""

import pytest

from nnlab.arguments import split_arguments
from nnlab.config import ConfigError

SPLIT = [
    ("", [], {}),
    ("optim=sgd -m seed=1,2", ["optim=sgd", "seed=1,2"], {"--multirun": ""}),
    ("seed=1 --multirun", ["seed=1"], {"--multirun": ""}),
    ("-r seed=1", ["seed=1"], {"--run": ""}),
    ("--cfg job optim=sgd", ["optim=sgd"], {"--cfg": "job"}),
    ("optim=sgd --cfg=job", ["optim=sgd"], {"--cfg": "job"}),
    ("optim=sgd -c job -p optim --resolve", ["optim=sgd"], {"--cfg": "job", "--package": "optim", "--resolve": ""}),
    ("--info", [], {"--info": "all"}),
    ("--info defaults seed=1", ["seed=1"], {"--info": "defaults"}),
    ("-i seed=1", ["seed=1"], {"--info": "all"}),
    ("--config-dir . optim=mine", ["optim=mine"], {"--config-dir": "."}),
    ("optim=mine -cd .", ["optim=mine"], {"--config-dir": "."}),
    ("-m --help", [], {"--multirun": "", "--help": ""}),
    ("--plan seed=0,1 -m", ["seed=0,1"], {"--multirun": "", "--plan": ""}),
    ("-h", [], {"--help": ""}),
    ("~experiment +optim.fused=false ++seed=1", ["~experiment", "+optim.fused=false", "++seed=1"], {}),
    ("optim.lr=-1", ["optim.lr=-1"], {}),
]


@pytest.mark.parametrize(("line", "overrides", "flags"), SPLIT)
def test_flags_are_told_from_overrides_wherever_they_stand(line, overrides, flags):
    arguments = split_arguments(line.split())
    assert arguments.overrides == overrides
    assert arguments.flags == flags


REFUSED = {
    "--foo": ["--foo: there is no such flag"],
    "--multrun": ["--multrun: there is no such flag; did you mean --multirun"],
    "-x": ["-x: there is no such flag; there are --cfg,"],
    "--optim=sgd": ["--optim=sgd: there is no such flag; overrides are written without dashes: optim=sgd"],
    "--cfg": ["--cfg: a value is missing after it: job, hydra or all"],
    "--cfg -m": ["--cfg: a value is missing", "only one of them"],
    "--cfg nonsense": ["--cfg: expected job, hydra or all, found 'nonsense'"],
    "--info=nonsense": ["--info: expected all, config, defaults, defaults-tree, plugins or searchpath"],
    "--config-dir": ["--config-dir: a value is missing"],
    "--config-dir no/such/folder": ["--config-dir: there is no folder no/such/folder"],
    "-cd . --config-dir=..": ["--config-dir: given twice, as . and .."],
    "--resolve": ["--resolve: it says how --cfg prints, and there is no --cfg"],
    "--package optim": ["--package: it says how --cfg prints"],
    "-m --cfg job": ["--multirun and --cfg: only one of them at a time"],
    "--run -m --info": ["--multirun and --run and --info: only one"],
    "--plan": ["--plan: it shows what a sweep would train; add -m"],
    "--multirun=3": ["--multirun takes no value"],
    "--config-name x": ["--config-name: there is one root config"],
    "-cn=x": ["-cn=x: there is no such flag"],
    "-cn x": ["-cn: there is one root config"],
    "--config-path=x": ["--config-path: use --config-dir DIR"],
    "--experimental-rerun x": ["--experimental-rerun: it reads a pickle"],
    "--shell-completion install=bash": ["--shell-completion: `nnlab --completion bash`"],
    "--foo --cfg nonsense -cn x -cd no/such": ["--foo", "--cfg", "-cn", "there is no folder no/such"],
}


@pytest.mark.parametrize("line", REFUSED)
def test_wrong_flags_are_refused_all_at_once(line):
    with pytest.raises(ConfigError) as error:
        split_arguments(line.split())
    assert len(error.value.problems) == len(REFUSED[line])
    for problem, words in zip(error.value.problems, REFUSED[line], strict=True):
        assert words in problem


def test_flags_of_nnlabs_own_are_not_passed_on_to_hydra():
    arguments = split_arguments(["--plan", "-m", "seed=0,1", "-cd", "."])
    assert arguments.as_hydra_wants() == ["--multirun", "--config-dir", "."]
    assert arguments.as_typed() == ["--plan", "--multirun", "--config-dir", "."]


def test_verb_with_few_flags_refuses_the_others():
    assert split_arguments(["--help"], known=("--help",)).flags == {"--help": ""}
    with pytest.raises(ConfigError, match="there is no such flag; there are --config-dir, --help"):
        split_arguments(["-m"], known=("--help", "--config-dir"))


def test_hydra_gets_flags_with_their_values():
    assert split_arguments(["a=1", "--cfg", "job", "--resolve"]).as_hydra_wants() == ["--cfg", "job", "--resolve"]
