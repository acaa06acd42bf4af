"""The Trainer: plain arguments in, a trained model and its history out."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nnlab.callback.base import Callback, FitView
from nnlab.data.stream.streamed import Streamed
from nnlab.device import choose_native_threads, choose_threads, flushing_denormals, keep_freed_memory, resolve_device
from nnlab.folder import FIGURE_FORMATS, figures_problem
from nnlab.gradient.autograd import Autograd
from nnlab.gradient.base import Gradient
from nnlab.logger.base import Logger, Run
from nnlab.loss.base import Loss, Penalty
from nnlab.loss.objective import Objective
from nnlab.metric.base import Metric
from nnlab.metric.readout import Readout
from nnlab.model.dropout import seed_dropout
from nnlab.schedule.base import Schedule
from nnlab.schedule.constant import Constant
from nnlab.seeding import derive, seed_global
from nnlab.trainer.batches import (
    Batches,
    Data,
    FixedBatches,
    LoaderBatches,
    Placed,
    TensorBatches,
    Weighted,
    place,
    stacked_inputs,
    tensors_of,
)
from nnlab.trainer.engine import Eager, Engine
from nnlab.trainer.engine_choice import COMPILES, Choice, Compile, choose_engine
from nnlab.trainer.evaluation import Evaluator, predict, read
from nnlab.trainer.fitting import Fitting
from nnlab.trainer.folded import scores
from nnlab.trainer.interrupt import Interrupt
from nnlab.trainer.loop import run_loop
from nnlab.trainer.phases import Phases
from nnlab.trainer.plan import Cadence, Plan
from nnlab.trainer.precision import PrecisionName, make_precision
from nnlab.trainer.profile import Profile
from nnlab.trainer.profiled import Profiled
from nnlab.trainer.result import FitResult, scalars_of
from nnlab.trainer.resume import Found, find
from nnlab.trainer.shapes import check_inputs
from nnlab.trainer.sharing import Sharing, why_not_shared
from nnlab.trainer.sinks import Sinks
from nnlab.trainer.state import TrainingState
from nnlab.trainer.step import StepParts
from nnlab.trainer.stream_batches import StreamBatches
from nnlab.trainer.watchers import Watchers
from nnlab.world import current

Which = Literal["best", "last"]


@final
class Trainer:
    """Trains and evaluates one model.

    After ``fit`` the model holds the last parameters (after a divergence, the last finite ones); the best ones, which
    ``monitor`` chose, are used by ``evaluate(…, checkpoint="best")``.

    Args:
        model: maps [B, F] to [B, O]. It is moved to the device and cast, in place.
        loss: the batch's mean loss of a prediction and a target: a ``nnlab.loss`` or a ``torch.nn`` one.
        optimizer: over the model's parameters.
        schedule: of the learning rate; None keeps the optimizer's own.
        gradient: how gradients are computed; None for autograd.
        penalty: L1 and L2 penalties on the weights of linear layers; None for none.
        metrics: figures beside the loss, for every split.
        readout: what the model's outputs mean to the metrics; None derives it from the loss.
        callbacks: who watches and may stop.
        loggers: where to log.
        batch_size: rows in a batch, where ``train`` is no DataLoader.
        shuffle: whether each epoch has an order of its own, where ``train`` is no DataLoader.
        seed: of the orders and of dropout.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        max_epochs: passes over the training rows; 0 evaluates only.
        max_steps: optimizer steps after which training ends if that comes first; None for no limit.
        eval_every: epochs between evaluations.
        monitor: the metric that chooses the best epoch, such as ``valid/loss``.
        accumulate_steps: batches whose gradients make one update.
        grad_clip_norm: the largest allowed norm of the whole gradient; None for no clipping.
        precision: ``fp32``, ``fp64``, ``bf16`` (autocast) or ``fp16`` (autocast with loss scaling; CUDA only).
        compile: how steps are done: ``off`` by torch's own operations; ``step`` whole steps, many in a call: by the C
            library on the CPU, as CUDA graphs on CUDA; where a part has no C form, by a program of torch.compile's for
            each step's gradient; refused where that is impossible too; ``auto`` by what is faster.
        threads: CPU threads; None chooses by a rule on shapes and cores.
        deterministic: whether torch must refuse operations that do not repeat exactly.
        checkpoint_every: how often to save: ``50`` (steps), ``30s`` or ``2ep``.
        overfit_batches: train on only this many batches, always the same rows; 0 for all.
        dry_run: whether to do two steps only.
        profile: whether to find out where the time goes, into ``profile/``: a trace of some steps, and a table.
        folder: where ``metrics.csv``, ``checkpoints/`` and ``result.json`` go; None leaves nothing on disk.
        name: the run's name in ``result.json``.
        hyperparameters: what loggers record beside the metrics; plain values.
        figures: what figures are written as: ``png``, ``svg``, both or none.

    Raises:
        ValueError: for a value outside its range, naming it.

    Example:
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
        >>> model = torch.nn.Linear(1, 1)
        >>> trainer = Trainer(model, torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1),
        ...                   max_epochs=50, device="cpu")
        >>> result = trainer.fit((x, 3 * x), (x, 3 * x))
        >>> result.status, result.best["valid/loss"] < 1e-3
        ('completed', True)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        *,
        schedule: Schedule | None = None,
        gradient: Gradient | None = None,
        penalty: Penalty | None = None,
        metrics: Sequence[Metric] = (),
        readout: Readout | None = None,
        callbacks: Sequence[Callback] = (),
        loggers: Sequence[Logger] = (),
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        device: str = "auto",
        max_epochs: int = 50,
        max_steps: int | None = None,
        eval_every: int = 1,
        monitor: str = "valid/loss",
        accumulate_steps: int = 1,
        grad_clip_norm: float | None = None,
        precision: PrecisionName = "fp32",
        compile: Compile = "auto",
        threads: int | None = None,
        deterministic: bool = False,
        checkpoint_every: str | int = "30s",
        overfit_batches: int = 0,
        dry_run: bool = False,
        profile: bool = False,
        folder: Path | None = None,
        name: str = "",
        hyperparameters: Mapping[str, Any] | None = None,
        figures: Sequence[str] = FIGURE_FORMATS,
    ) -> None:
        problems = _too_small(1, {"data.batch_size": batch_size, "trainer.eval_every": eval_every})
        problems += _too_small(1, {"trainer.accumulate_steps": accumulate_steps, "trainer.threads": threads})
        problems += _too_small(0, {"trainer.max_epochs": max_epochs, "trainer.max_steps": max_steps})
        problems += _too_small(0, {"trainer.overfit_batches": overfit_batches})
        if grad_clip_norm is not None and not grad_clip_norm > 0:
            problems.append(f"trainer.grad_clip_norm: expected a number > 0, or null for none, found {grad_clip_norm}")
        possible = [f"{split}/{name}" for split in ("train", "valid") for name in ("loss", *(m.name for m in metrics))]
        if monitor not in possible:
            problems.append(f"trainer.monitor: expected one of {', '.join(possible)}, found {monitor!r}")
        if compile not in COMPILES:
            problems.append(f"trainer.compile: expected one of {', '.join(COMPILES)}, found {compile!r}")
        if problem := figures_problem(figures):
            problems.append(f"figures: {problem}")
        if problems:
            raise ValueError("\n".join(problems))
        self.device = resolve_device(device)
        self.precision = make_precision(precision, self.device, optimizer)
        self.model = model.to(self.device, self.precision.dtype)
        self.loss = loss
        self.optimizer = optimizer
        if optimizer.state:  # Adagrad's sums, made with the optimizer: they go where the parameters have gone
            optimizer.load_state_dict(optimizer.state_dict())
        self.schedule = schedule or Constant(unit="epoch", warmup_steps=0)
        self.gradient = gradient or Autograd()
        self.metrics = tuple(metrics)
        self.callbacks = tuple(callbacks)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.max_epochs = max_epochs
        self.max_steps = min(2, 2 if max_steps is None else max_steps) if dry_run else max_steps
        self.eval_every = eval_every
        self.monitor = monitor
        self.accumulate_steps = accumulate_steps
        self.grad_clip_norm = grad_clip_norm
        self.compile: Compile = compile
        #: how steps are done and why, once ``begin`` or ``plan`` has chosen
        self.engine: Choice | None = None
        self.deterministic = deterministic
        self.cadence = Cadence(checkpoint_every)
        self.overfit_batches = overfit_batches
        self.folder = folder
        self.hyperparameters = hyperparameters or {}
        self.notes: list[str] = []
        self.phases = Phases(profile)
        #: where the time goes, if that was asked for
        self.profile = Profile(folder, self.phases, self.device) if profile else None
        #: the processes that share each batch; None for this one alone
        self.world = current()
        if self.world is not None and self.world.backend == "nccl":
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
        self._sharing = None if self.world is None else Sharing(self.world, self.model, loss)
        if self.world is not None and not self.world.is_first:
            folder, loggers, figures = None, (), ()
        self.sinks = Sinks(folder, loggers, self.notes, name, figures, self.phases)
        self._own_threads = threads
        self.threads = threads or choose_threads(self.device, batch_size, _linear_shapes(model))
        weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]
        self.objective = Objective(loss, penalty or Penalty(), weights)
        self.gradient.check(self.model, self.objective, self.precision, batch_size)
        self.evaluator = Evaluator(loss, self.metrics, readout or Readout.of_loss(loss), self.phases)
        self.has_started = False
        self._train_batches: Batches | None = None
        self._fitting_now: Fitting | None = None
        self._best_state: dict[str, Tensor] | None = None
        #: torch's own random streams where ``own_randomness`` was left
        self._left_streams: list[Tensor] | None = None
        self._held: Which = "last"
        self._last_state: list[Tensor] = []

    def fit(
        self, train: Data, valid: Data | None = None, *, resume: bool = False, close_loggers: bool = True
    ) -> FitResult:
        """Train.

        Args:
            train: a pair of tensors (inputs [N, F], target [N, …]), ``Weighted`` rows, a TensorDataset of two, or a
                DataLoader of pairs.
            valid: likewise, evaluated every ``eval_every`` epochs; None for no validation.
            resume: whether to go on from the newest checkpoint in ``folder``, to the bits that an uninterrupted
                training would have; where none was written yet, it begins anew.
            close_loggers: False if more is going to be logged; ``close`` then ends it.

        Returns:
            How it went.

        Raises:
            ValueError: for data that do not fit the model or the settings.
        """
        with Interrupt() as interrupt, self.settings():
            fitting = self.begin(train, valid, interrupt)
            with self.own_randomness(fitting):
                status, reason = "failed", ""
                try:
                    self.start(fitting, resume)
                    status, reason = run_loop(fitting)
                    fitting.end(status, reason)
                finally:
                    self.conclude(fitting)
                    if close_loggers:
                        self.sinks.end(status)
                        self.close()
        return fitting.result(status, reason)

    def choose_engine(self, train: Data) -> Choice:
        """Decide how the steps of a training are going to be done; ``fit`` with the same data keeps to it.

        Args:
            train: as for ``fit``.

        Raises:
            ValueError: for data that do not fit the model or the settings, and if ``compile="step"`` is impossible.
        """
        if self.engine is None:
            self._check_sharing(train)
            self._train_batches = batches = self._batches(train)
            num_steps = self._plan(batches).num_steps
            rows_of_update = self.batch_size * self.accumulate_steps
            native_threads = self._own_threads or choose_native_threads(rows_of_update, _linear_shapes(self.model))
            with self.settings():  # a program of torch.compile's is for the settings that it is made under
                self.engine = choose_engine(
                    self.compile, self._parts, batches, self.accumulate_steps, num_steps, self.device, native_threads,
                    self.sinks.note,
                )  # fmt: skip
            if self.engine.engine.name == "native":
                self.threads = native_threads
            if self.engine.note is not None:
                self.sinks.note(self.engine.note)
        return self.engine

    def begin(self, train: Data, valid: Data | None, interrupt: Interrupt, in_stack: bool = False) -> Fitting:
        """Put a training together, for ``start``.

        Args:
            train: as for ``fit``.
            valid: likewise.
            interrupt: signals that ask it to end.
            in_stack: whether a stack is going to do its steps.

        Returns:
            The training, before its first step.

        Raises:
            ValueError: for data that do not fit the model or the settings.
        """
        self._check_sharing(train)
        if self._sharing is not None:
            self._sharing.interrupt.own = interrupt
        if self._fitting_now is not None:
            raise ValueError("fit: this Trainer has been fitted; make a new Trainer, with a new optimizer, to train on")
        if in_stack:
            batches = self._batches(train)
            engine: Engine = Eager(self._parts, batches, self.accumulate_steps)
        else:
            engine = self.choose_engine(train).engine
            assert self._train_batches is not None
            batches = self._train_batches
        splits = {} if valid is None else {"valid": self._rows(valid, "valid")}
        self._fitting_now = self._fitting(engine, batches, splits, interrupt)
        return self._fitting_now

    def start(self, fitting: Fitting, resume: bool, found: Found | None = None) -> None:
        """Open what is written to, and go to where an earlier process was.

        Args:
            fitting: from ``begin``.
            resume: as for ``fit``.
            found: where to go on, if it is not the newest checkpoint in ``folder``.

        Raises:
            ValueError: if it cannot be resumed, or a callback does not fit.
        """
        with self.phases.during("start"):
            self._start(fitting, resume, found)
        self.has_started = True

    def conclude(self, fitting: Fitting) -> None:
        """After a training: keep its best state, and tell the callbacks.

        Args:
            fitting: from ``begin``.
        """
        self._best_state = fitting.best.state if fitting.best else None
        fitting.watchers.fit_ended(fitting.view, fitting.progress.step)

    def result_so_far(self, status: str, reason: str) -> FitResult | None:
        """How a training went that an error ended; None if none was begun.

        Args:
            status: ``failed``.
            reason: the error.
        """
        return None if self._fitting_now is None else self._fitting_now.result(status, reason)

    def watch(self, callback: Callback) -> None:
        """Add a callback before ``fit``."""
        self.callbacks = (*self.callbacks, callback)

    def close(self) -> None:
        """Write what loggers hold back and let go of their files, and where the time went."""
        self.sinks.close()
        for problem in self.profile.write() if self.profile is not None else ():
            self.sinks.note(problem)

    def evaluate(self, data: Data, checkpoint: Which = "last") -> dict[str, float]:
        """The loss and the metrics of a data set, in evaluation mode.

        Args:
            data: as for ``fit``.
            checkpoint: ``last`` for the model as it is; ``best`` for the parameters that the monitored metric chose.

        Returns:
            ``loss`` and each metric by name.

        Raises:
            ValueError: for data that do not fit the model.
        """
        rows = self._rows(data)
        with self.settings(), self.holding(checkpoint):
            values = read(scores(self.evaluator, self.model, rows, self.precision, self.device))
        return dict(zip(self.evaluator.names(), values, strict=True))

    def predict(self, inputs: Tensor, checkpoint: Which = "last") -> Tensor:
        """The model's outputs in evaluation mode.

        Args:
            inputs: shape [N, F].
            checkpoint: as for ``evaluate``.

        Returns:
            Shape [N, O], on the CPU.

        Raises:
            ValueError: for inputs that do not fit the model.
        """
        check_inputs(self.model, inputs, self.precision)
        with self.settings(), self.holding(checkpoint):
            return predict(self.model, place(inputs, self.device, self.precision.dtype), self.precision).cpu()

    @contextmanager
    def holding(self, checkpoint: Which) -> Iterator[None]:
        """While it lasts, the model has the parameters of a checkpoint; without a best one, the last."""
        if checkpoint == self._held or self._best_state is None:
            yield
            return
        before, self._held = self._held, checkpoint
        tensors = list(self.model.state_dict().values())
        now = [tensor.clone() for tensor in tensors]
        wanted = (
            self._last_state if checkpoint == "last" else [self._best_state[name] for name in self.model.state_dict()]
        )
        self._last_state = now if checkpoint == "best" else self._last_state
        _fill(tensors, wanted)
        try:
            yield
        finally:
            self._held = before
            _fill(tensors, now)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """torch's global settings for as long as this trainer works, put back afterwards."""
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        if self.deterministic:
            # cuBLAS repeats exactly only with a fixed workspace, which it reads at its first use.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        try:
            with flushing_denormals():
                yield
        finally:
            torch.set_num_threads(threads)
            if self.deterministic:  # the call imports much of torch's compiler
                torch.use_deterministic_algorithms(deterministic)

    def _start(self, fitting: Fitting, resume: bool, found: Found | None) -> None:
        if resume and found is None:
            if self.folder is None or not fitting.batches.repeatable:
                raise ValueError(
                    "fit: resume=True needs a folder and tensors; a DataLoader's order cannot be found again"
                )
            found = find(self.folder, self.model, self.optimizer)
        if resume:
            for problem in found.problems if found is not None else ():
                self.sinks.note(f"{problem}; the checkpoint before it is used")
            if self.sinks.folder is not None:  # that of the first process
                self.sinks.resume(found.state["tables"] if found is not None else {"metrics": 0})
        run = Run(self.folder or Path(), self.hyperparameters, self.model)
        if found is not None:
            history = [(int(row["step"]), scalars_of(row)) for row in found.history]
            run = replace(run, resumed_at=found.step, history=history)
            fitting.view = replace(fitting.view, resumed_at=found.step)
        self.sinks.start(run)
        self.model.train()
        fitting.watchers.fit_starts(fitting.view)
        if found is not None:
            fitting.resume(found.state, found.best, found.history)
        fitting.write_result()
        if resume:
            self.sinks.manifest(final=False)  # tables were cut

    @cached_property
    def _parts(self) -> StepParts:
        # Made when training begins: until then the optimizer may be given hooks or another step.
        return StepParts(
            self.model,
            self.objective,
            self.optimizer,
            self.gradient,
            self.precision,
            self.grad_clip_norm,
            self._sharing,
        )

    def _check_sharing(self, train: Data) -> None:
        """Refuse what several processes cannot train together."""
        if self._sharing is None:
            return
        problem = why_not_shared(self.model, self.device)
        if any(isinstance(layer, nn.modules.dropout._DropoutNd) for layer in self.model.modules()):
            text = "torch's own dropout draws the same masks in every process; nnlab.model.dropout.Dropout does not"
            if text not in self.notes:
                self.sinks.note(text)
        if isinstance(train, Streamed):
            problem = "data.streaming: rows that stay on disk are not shared among processes; use data.streaming=false"
        if isinstance(train, DataLoader):
            problem = "train: expected tensors, which processes can share, found a DataLoader"
        if problem is not None:
            raise ValueError(problem)

    def _plan(self, batches: Batches) -> Plan:
        steps_per_epoch = -(-batches.num_batches // self.accumulate_steps)
        return Plan(steps_per_epoch, self.max_epochs, self.max_steps, self.eval_every)

    def _fitting(
        self,
        engine: Engine,
        batches: Batches,
        splits: dict[str, Placed],
        interrupt: Interrupt,
    ) -> Fitting:
        plan = self._plan(batches)
        if self.profile is not None:
            engine = Profiled(engine, self.profile, plan.num_steps)
        self.schedule.plan(plan.num_steps, plan.num_epochs)
        generators = seed_dropout(self.model, derive(self.seed, "dropout"), self.device)
        monitor = self._choose_monitor(list(splits))
        state = TrainingState(self.model, self.optimizer, self.schedule, self.precision.scaler, generators)
        view = FitView(
            model=self.model,
            out=self.sinks,
            monitor=monitor,
            num_epochs=plan.num_epochs,
            num_steps=plan.num_steps,
            metrics=tuple(f"{split}/{name}" for name in self.evaluator.names() for split in ("train", *splits)),
            growing=frozenset(metric.name for metric in self.metrics if metric.greater_is_better),
            evaluate=lambda state: self._with_state(state, splits),
        )
        return Fitting(
            parts=self._parts,
            engine=engine,
            batches=batches,
            accumulate_steps=self.accumulate_steps,
            plan=plan,
            evaluator=self.evaluator,
            splits=splits,
            state=state,
            sinks=self.sinks,
            watchers=Watchers(self.callbacks, self.sinks.note, self.phases),
            view=view,
            cadence=self.cadence,
            interrupt=interrupt if self._sharing is None else self._sharing.interrupt,
        )

    def _with_state(self, state: Mapping[str, Tensor], splits: Mapping[str, Placed]) -> dict[str, float]:
        """Loss and metrics of splits with another state of the model."""
        names = self.evaluator.names()
        scalars, keys = list[Tensor](), list[str]()
        with self.wearing(state):
            for split, rows in splits.items():
                scalars += scores(self.evaluator, self.model, rows, self.precision, self.device)
                keys += [f"{split}/{name}" for name in names]
        return dict(zip(keys, read(scalars), strict=True))

    @contextmanager
    def wearing(self, state: Mapping[str, Tensor]) -> Iterator[None]:
        """While it lasts, the model has another state.

        Args:
            state: by name, as ``state_dict`` has them.
        """
        tensors = list(self.model.state_dict().values())
        now = [tensor.clone() for tensor in tensors]
        _fill(tensors, [state[name] for name in self.model.state_dict()])
        try:
            yield
        finally:
            _fill(tensors, now)

    def _choose_monitor(self, splits: list[str]) -> str:
        if self.monitor.partition("/")[0] not in ("train", *splits):
            text = f"no validation split: trainer.monitor falls back from {self.monitor} to train/loss"
            self.sinks.note(text, logging.INFO)
            return "train/loss"
        return self.monitor

    def _batches(self, train: Data) -> Batches:
        if isinstance(train, DataLoader):
            stacked = stacked_inputs(train)
            if stacked is not None:
                check_inputs(self.model, stacked, self.precision, "train")
            batches = LoaderBatches(train, self.device, self.precision.dtype)
            if not self.overfit_batches:
                return batches
            fixed = FixedBatches(islice(batches.epoch(0), self.overfit_batches))
            self.sinks.note(f"trainer.overfit_batches: training on {fixed.num_rows} rows only")
            return fixed
        if isinstance(train, Streamed) and not self.overfit_batches:
            check_inputs(self.model, train.first[0], self.precision, "train")
            self._check_batch(len(train))
            return StreamBatches(
                train,
                self.batch_size,
                self.accumulate_steps,
                self.shuffle,
                self.seed,
                self.device,
                self.precision.dtype,
            )
        if isinstance(train, Streamed):
            train = train.read(0, min(len(train), self.overfit_batches * self.batch_size))
        self._check_weights(train)
        inputs, target = self._on_device(train, "train")
        weight = place(train.weight, self.device, self.precision.dtype) if isinstance(train, Weighted) else None
        if self.overfit_batches:
            rows = self.overfit_batches * self.batch_size
            inputs, target = inputs[:rows], target[:rows]
            weight = None if weight is None else weight[:rows]
            self.sinks.note(f"trainer.overfit_batches: training on {len(inputs)} rows only")
        self._check_batch(len(inputs))
        return TensorBatches(inputs, target, self.batch_size, self.shuffle, self.seed, weight)

    def _check_weights(self, data: Data) -> None:
        """Refuse weights where a part does not know what they mean to it."""
        if not isinstance(data, Weighted):
            return
        unknown = [metric.name for metric in self.metrics if not metric.knows_weights]
        if unknown:
            raise ValueError(f"data.sample_weight: metric={unknown[0]} knows no weights of rows; leave one of them out")
        if not isinstance(self.loss, Loss):
            raise ValueError(
                f"data.sample_weight: rows with weights need one of nnlab's losses, found {type(self.loss).__name__}"
            )

    def _check_batch(self, num_rows: int) -> None:
        if self.batch_size > num_rows:
            self.sinks.note(
                f"data.batch_size: {self.batch_size} is more than the {num_rows} training rows, which form one batch"
            )
        smallest = num_rows % self.batch_size or min(self.batch_size, num_rows)
        has_norm = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.model.modules())
        if has_norm and self.world is not None and smallest < self.world.size:
            raise ValueError(
                f"data.batch_size: {self.batch_size} leaves a batch of {smallest} of the {num_rows} rows, too few for "
                f"batch norm in {self.world.size} processes; choose another size, or model.norm=layer"
            )
        if has_norm and smallest == 1:
            raise ValueError(
                f"data.batch_size: {self.batch_size} leaves a batch of a single one of the {num_rows} rows, which "
                "batch norm cannot normalize; choose another size, or model.norm=layer"
            )

    def _rows(self, data: Data, whose: str = "") -> Placed:
        """Rows to evaluate: on the device, or still on the disk."""
        if isinstance(data, Weighted):
            self._check_weights(data)
            weight = place(data.weight, self.device, self.precision.dtype)
            return Weighted(*self._on_device(data, whose), weight)
        if not isinstance(data, Streamed):
            return self._on_device(data, whose)
        check_inputs(self.model, data.first[0], self.precision, whose)
        return data

    def _on_device(self, data: Data, whose: str = "") -> tuple[Tensor, Tensor]:
        tensors = tensors_of(data)
        check_inputs(self.model, tensors[0], self.precision, whose)
        inputs, target = (place(tensor, self.device, self.precision.dtype) for tensor in tensors)
        return inputs, target

    def seed_own_streams(self) -> None:
        """Begin torch's own random streams as every run of this seed does."""
        seed_global(derive(self.seed, "dropout"), self.device)

    @contextmanager
    def own_randomness(self, fitting: Fitting) -> Iterator[None]:
        """Seeds the global generator for dropout layers that are not nnlab's, and puts it back afterwards.

        Entered again, it goes on where it was left: a training that is begun, done and ended in turn draws one stream.
        A DataLoader of the user's draws its orders from that generator, and keeps it as the user seeded it.
        """
        if not fitting.batches.repeatable:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            is_on_cuda = self.device.type == "cuda"
            if self._left_streams is None:
                self.seed_own_streams()
            else:
                torch.set_rng_state(self._left_streams[0])
                if is_on_cuda:
                    torch.cuda.set_rng_state(self._left_streams[1], self.device)
            try:
                yield
            finally:
                own = [torch.get_rng_state()]
                self._left_streams = [*own, torch.cuda.get_rng_state(self.device)] if is_on_cuda else own


@torch.no_grad()
def _fill(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    torch._foreach_copy_(list(tensors), list(values))


def _linear_shapes(model: nn.Module) -> list[tuple[int, int]]:
    return [(layer.in_features, layer.out_features) for layer in model.modules() if isinstance(layer, nn.Linear)]


def _too_small(least: int, values: Mapping[str, int | None]) -> list[str]:
    return [
        f"{name}: expected at least {least}, found {value}"
        for name, value in values.items()
        if value is not None and value < least
    ]
