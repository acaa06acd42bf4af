"""Members as the fast way composes them, against Hydra's own basic launcher, which composes each of them whole."""

import time

import pytest
import yaml
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from nnlab.command import register_resolvers
from nnlab.config import ConfigError, config_folder
from nnlab.sweep.composing import Composer
from nnlab.sweep.copy_on_write import replaced
from nnlab.sweep.hydra_files import HydraFiles
from nnlab.sweep.interpolation import UnsureError, interpolations, resolve

FIXED = "hydra.job.config.override_dirname.exclude_keys=[{}]"
#: the words of a sweep -> how many of its members Hydra has to compose
SWEEPS = {
    # values: one for all of them
    "optim.lr=0.1,0.01,1e-3": 1,
    "seed=range(2)": 1,
    "seed=0,1 optim.lr=0.1,0.2 trainer.max_epochs=7": 1,
    "optim.lr=sort(choice(0.3,0.1))": 1,
    "model.widths=[3],[],null": 1,
    "optim.betas=[0.5,0.9],[0.1,0.2] model.depth=1": 1,
    "trainer.max_steps=null,5 model.bias=true": 1,
    "trainer.checkpoint_every=50,30s,2ep": 1,
    "name='a b',\"c,d\",'ünï'": 1,
    "name='1e-3',true,'null'": 1,
    "trainer.grad_clip_norm=inf,1,nan": 1,
    "+optim.fused=true,false,null": 1,
    "++optim.lr=0.1,0.2": 1,
    "~experiment seed=0,1": 1,
    "model.width=5,6 ~loss.l1": 1,
    "name=x,??? +model.extra=???": 1,
    # interpolations of the root's keys
    "seed=3,4 data.seed=${seed}": 1,
    "seed=3,4 name=run_${seed}_of_${optim.lr}": 1,
    "data.seed=1,${seed} seed=5": 1,
    "model.width=4,5 model.depth=${trainer.eval_every} trainer.eval_every=${data.seed} data.seed=2": 1,
    "model.width=4,5 name=w${model.width}-${model.widths}-${model.bias}": 1,
    # choices: one for each
    "optim=sgd,adam optim.lr=0.1,0.2": 2,
    "experiment=blobs,x_squared": 2,
    "experiment=blobs optim=adam,sgd": 2,
    "callback=[],early_stopping": 2,
    "callback=[early_stopping],[early_stopping,histograms] callback.early_stopping.patience=1,2": 2,
    "optim=glob(ada*,exclude=[adade*,*x,*w])": 2,
    "data=moons,x_squared hydra.job.name=mine": 2,
    # folders of the user's own
    "seed=5,6 hydra.sweep.subdir=${hydra.job.num}": 1,
    "seed=5,6 hydra.sweep.subdir=s${seed}-${optim.lr}": 1,
    "seed=5,6 hydra.job.config.override_dirname.kv_sep=:": 1,
    "seed=5,6 hydra.output_subdir=null": 1,
    # what only Hydra does for certain: every member
    "optim={lr:0.1},{lr:0.2,eps:1e-3}": 2,
    "optim.lr=0.1,0.2 optim={eps:1e-3}": 2,
    "optim.lr=0.1,0.2 ++optim.lr=0.3": 2,
    "seed=1,2 name=${oc.env:HOME}": 2,
    "seed=1,2 name=${hydra:job.num}": 2,
    "seed=1,2 name=${now:%Y}": 2,
    "seed=1,2 +model.extra=${optim}": 2,
    "seed=1,2 +model.extra=[1,${seed}]": 2,
    "model.activation=relu,{_target_:torch.nn.LeakyReLU}": 2,
}
#: of which .hydra/ is read by OmegaConf, which takes other words for numbers than YAML does
READ_AS_HYDRA_DOES = ("name='1e-3',true,'null'", "optim.lr=0.1,0.01,1e-3", "seed=3,4 data.seed=${seed}")


@pytest.fixture(scope="module")
def loader():
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield GlobalHydra.instance().hydra.config_loader


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def master_and_batch(loader, line):
    words = line.split(" ") if "'" not in line else [line]
    words = [*words, "hydra.sweep.dir=basic"]
    if "subdir" not in line:
        fixed = ["trainer.max_epochs", "data.seed", "model.depth", "trainer.eval_every"]
        words.append(FIXED.format(",".join(fixed)))
    master = loader.load_configuration("config", ["hydra.mode=MULTIRUN", *words], RunMode.MULTIRUN)
    typed = OmegaConf.to_container(master.hydra.overrides.task, resolve=False)
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    (batch,) = BasicSweeper.split_arguments(overrides, None)
    return master, batch


class Jobs:
    """Hydra's callbacks and its task function at once: writes down what each job is given."""

    def __init__(self):
        self.found = []

    def __call__(self, config):
        resolved = OmegaConf.to_container(config, resolve=True)
        runtime = HydraConfig.get().runtime
        self.found.append((resolved, OmegaConf.to_container(runtime.choices), runtime.output_dir))

    def on_job_start(self, **kwargs):
        pass

    on_job_end = on_job_start


def as_hydra_composes(loader, master, batch):
    jobs = Jobs()
    launcher = BasicLauncher()
    context = HydraContext(config_loader=loader, callbacks=jobs)
    launcher.setup(hydra_context=context, task_function=jobs, config=master)
    assert [job.return_value for job in launcher.launch(batch, 0)] == [None] * len(batch)
    return jobs.found


def loaded(folder, load):
    return {name: load(folder / ".hydra" / name) for name in ("config.yaml", "hydra.yaml", "overrides.yaml")}


def quickly(path):
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)


def as_hydra_does(path):
    return OmegaConf.to_container(OmegaConf.load(path))


def same(left, right):
    """Equality that knows nan, and 1 from True."""
    return left == right if repr(left) != repr(right) else True


@pytest.mark.parametrize("line", SWEEPS)
def test_members_are_what_hydra_composes(line, loader, work, monkeypatch):
    master, batch = master_and_batch(loader, line)
    expected = as_hydra_composes(loader, master, batch)
    calls = []
    compose = loader.load_sweep_config
    monkeypatch.setattr(loader, "load_sweep_config", lambda *args: calls.append(args) or compose(*args))
    members = Composer(loader, master).compose(batch)
    assert len(calls) == SWEEPS[line]
    assert [member.number for member in members] == list(range(len(batch)))
    for member, (config, choices, folder) in zip(members, expected, strict=True):
        assert same(member.config, config)
        assert member.choices == choices
        assert str(work / "basic" / member.subdir) == folder
    (work / "ours").mkdir()
    files = HydraFiles()
    for member in members:
        files.write(member, work / "ours" / member.subdir)
        if master.hydra.output_subdir is None:
            assert not list((work / "ours" / member.subdir).iterdir())
            continue
        # Hydra's own reader takes most of this test's time where it has to read everything.
        load = as_hydra_does if line in READ_AS_HYDRA_DOES else quickly
        basic = loaded(work / "basic" / member.subdir, load)
        for name, content in loaded(work / "ours" / member.subdir, load).items():
            assert same(content, basic[name]), name


def test_what_cannot_be_composed_names_the_member(loader):
    master, batch = master_and_batch(loader, "seed=0,1 optim=sgd,adam +optim.momentum=0.1")
    with pytest.raises(ConfigError, match=r"member 0 .*optim=sgd.*: Could not append to config"):
        Composer(loader, master).compose(batch)


def test_one_of_each_choice_is_validated(loader):
    _, batch = master_and_batch(loader, "optim=sgd,adam seed=range(20)")
    master, _ = master_and_batch(loader, "optim=sgd,adam seed=range(20)")
    chosen = Composer(loader, master).one_of_each(batch)
    assert [overrides[0] for overrides in chosen] == ["optim=sgd", "optim=adam"]


def test_a_member_that_only_differs_in_values_costs_no_time(loader):
    values = ",".join(repr(1e-5 * (number + 1)) for number in range(500))
    master, batch = master_and_batch(loader, f"optim.lr={values}")
    composer, start = Composer(loader, master), time.process_time()
    composer.compose(batch)
    # Hydra takes about 50 s for them; measured here: 0.3 s.
    assert time.process_time() - start < 5


def test_members_share_what_is_equal_and_nothing_is_changed_in_place():
    values = {"optim": {"lr": 1, "betas": [1, 2]}, "data": {"seed": 0}, "seed": 3}
    changed = replaced(values, {("optim", "lr"): 5, ("optim", "new"): None, ("seed",): 4})
    assert changed == {"optim": {"lr": 5, "betas": [1, 2], "new": None}, "data": {"seed": 0}, "seed": 4}
    assert values == {"optim": {"lr": 1, "betas": [1, 2]}, "data": {"seed": 0}, "seed": 3}
    assert changed["data"] is values["data"]


ROOT = {"seed": 3, "a": {"b": 1e-5, "c": None, "d": True, "e": "${a.b}", "f": [1], "g": {"h": 1}}, "x": "${y}"} | {
    "y": "${x}"
}


@pytest.mark.parametrize(
    ("text", "value"),
    [("${seed}", 3), ("${a.b}", 1e-5), ("${a.c}", None), ("${a.e}", 1e-5), ("s${seed}_${a.d}_${a.c}", "s3_True_None")],
)
def test_interpolation_of_plain_keys_is_what_omegaconf_makes_of_it(text, value):
    expected = OmegaConf.to_container(OmegaConf.create(ROOT | {"z": text, "x": 1, "y": 1}), resolve=True)["z"]
    assert resolve(text, ROOT) == expected == value
    assert type(expected) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "${.seed}",
        "${a.f}",
        "${a.g}",
        "${nothing}",
        "${x}",
        r"\${seed}",
        "${a[b]}",
        "${${a.e}}",
        "$${a}",
    ],
)
def test_interpolation_of_anything_else_is_left_to_omegaconf(text):
    with pytest.raises(UnsureError):
        resolve(text, ROOT)


@pytest.mark.parametrize("values", [{"a": ["${b}"]}, {"a": {1: 2}}])
def test_values_that_plain_rules_do_not_settle_are_left_to_omegaconf(values):
    with pytest.raises(UnsureError):
        interpolations(values)


def test_texts_that_look_like_something_else_are_read_back_as_texts(loader, work):
    master, batch = master_and_batch(loader, "name='1e-3','on','0x1f','1_000'")
    folder = work / "0"
    for member in Composer(loader, master).compose(batch):
        HydraFiles().write(member, folder)
        name = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["name"]
        assert name == member.config["name"]
        assert OmegaConf.load(folder / ".hydra" / "config.yaml").name == member.config["name"]
