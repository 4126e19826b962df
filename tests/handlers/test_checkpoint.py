"""What a checkpoint holds, when it is written, and what a resumed run has of it.

The network is one weight that starts at 0 and grows by a speed of 1, 1.5, 1.75, …, which the optimiser's momentum of
0.5 carries on: after the first iterations it is 1, 2.5, 4.25, 6.125, 8.0625.
"""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.utils.data import DataLoader

from common.engines import SemiSupervisedTrainer
from common.handlers import BestModel, Checkpoint, RoundEvents
from common.losses import LossTerm

WEIGHTS = {0: 0.0, 1: 1.0, 2: 2.5, 3: 4.25, 4: 6.125, 5: 8.0625}
SETTINGS = {"seed": 0, "budget": 4, "roi_size": [1, 1, 1]}


class Growth(LossTerm):
    """Makes the network's weight grow."""

    def __call__(self, step):
        return -step.student.sum()


class Numbers:
    """Batch sampler that draws the number of the iteration."""

    iteration = 0

    def __iter__(self):
        yield from ([number] for number in range(self.iteration, 100))


class Items:
    def __getitem__(self, number):
        return {"image": torch.ones(1, 1, 1, 1), "number": number}


class At:
    """Calls a function of the engine after one iteration."""

    def __init__(self, iteration, function):
        self.iteration = iteration
        self.function = function

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self.function)


class Counter:
    """A handler with a state."""

    completed = 0

    def state_dict(self):
        return {"completed": self.completed}

    def load_state_dict(self, state):
        self.completed = state["completed"]


class Run:
    """A training of 5 iterations whose checkpoint is written every 2."""

    def __init__(self, folder, *handlers, settings=SETTINGS, every=2):
        self.path = folder / "checkpoint.pt"
        self.network = nn.Conv3d(1, 1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0, momentum=0.5)
        self.counter = Counter()
        self.best = BestModel(folder / "model.pt", network=self.network, metric="score")
        self.validator = Engine(lambda engine, batch: None)
        self.best.attach(self.validator)
        objects = {"network": self.network, "optimizer": optimizer, "counter": self.counter}
        self.seen = []
        self.trainer = SemiSupervisedTrainer(
            device="cpu",
            max_iterations=5,
            epoch_length=3,
            train_data_loader=DataLoader(Items(), batch_sampler=Numbers()),
            network=self.network,
            optimizer=optimizer,
            terms=[Growth(name="growth")],
            mix=self.note,
            handlers=[
                Checkpoint(self.path, objects=objects, best_model=self.best, settings=settings, every=every),
                *handlers,
            ],
        )

    def note(self, batch, iteration):
        self.seen.append((iteration, batch["number"].item(), torch.rand(()).item()))
        return batch

    def validate(self, score):
        self.validator.state.metrics["score"] = score
        self.validator.run([0])

    def start(self):
        torch.manual_seed(7)
        self.trainer.run()
        return self

    @property
    def weight(self):
        return self.network.weight.item()

    def saved(self):
        return torch.load(self.path, weights_only=True) if self.path.exists() else None


def stop(engine):
    engine.terminate()


def interrupt(engine):
    raise KeyboardInterrupt


def weight_in(path):
    return torch.load(path, weights_only=True)["weight"].item()


def test_what_is_saved(tmp_path):
    run = Run(tmp_path).start()
    content = run.saved()
    assert content.keys() == {"settings", "iteration", "loss_scaler", "generators", "objects"}
    assert content["settings"] == SETTINGS and content["iteration"] == 5
    assert content["objects"].keys() == {"network", "optimizer", "counter", "best_model"}
    assert content["objects"]["network"]["weight"].item() == WEIGHTS[5] == run.weight
    momentum = content["objects"]["optimizer"]["state"][0]["momentum_buffer"]
    assert momentum.item() == WEIGHTS[4] - WEIGHTS[5]
    assert torch.equal(content["generators"]["cpu"], torch.get_rng_state())


def test_saves_every_so_many_iterations_and_at_the_end(tmp_path):
    found = []

    def look(engine):
        content = run.saved()
        found.append(content and (content["iteration"], content["objects"]["network"]["weight"].item()))

    run = Run(tmp_path, *(At(iteration, look) for iteration in range(1, 6)))
    run.start()
    assert found == [None, (2, WEIGHTS[2]), (2, WEIGHTS[2]), (4, WEIGHTS[4]), (4, WEIGHTS[4])]
    assert run.saved()["iteration"] == 5


def test_saves_before_and_after_a_round(tmp_path):
    found = []

    def round_of(engine):
        for completed, event in ((0, RoundEvents.ROUND_STARTED), (1, RoundEvents.ROUND_COMPLETED)):
            run.counter.completed = completed
            engine.fire_event(event)
            found.append((run.saved()["iteration"], run.saved()["objects"]["counter"]))

    run = Run(tmp_path, At(3, round_of), every=100)
    run.start()
    assert found == [(3, {"completed": 0}), (3, {"completed": 1})]


@pytest.mark.parametrize("last", [1, 3, 4])
def test_a_stopped_run_resumes_as_if_it_had_not_stopped(tmp_path, last):
    whole = Run(tmp_path / "whole").start()
    stopped = Run(tmp_path, At(last, stop))
    stopped.counter.completed = 3
    stopped.start()
    assert stopped.weight == WEIGHTS[last]
    torch.manual_seed(99)
    resumed = Run(tmp_path)
    resumed.start()
    assert resumed.trainer.state.iteration == 5 and resumed.trainer.state.epoch == 2
    assert resumed.weight == WEIGHTS[5]
    assert resumed.counter.completed == 3
    assert [numbers[:2] for numbers in resumed.seen] == [(number, number) for number in range(last, 5)]
    assert stopped.seen + resumed.seen == whole.seen


class Drawing:
    """Draws a random number in a round after an iteration, which a resumed run makes up when it starts."""

    def __init__(self, iteration, after=lambda engine: None):
        self.iteration = iteration
        self.after = after
        self.drawn = []
        self.completed = 0

    def state_dict(self):
        return {"drawn": self.drawn, "completed": self.completed}

    def load_state_dict(self, state):
        self.drawn, self.completed = list(state["drawn"]), state["completed"]

    def attach(self, engine):
        for event in (Events.STARTED, Events.ITERATION_COMPLETED):
            engine.add_event_handler(event, self)

    def __call__(self, engine):
        if engine.should_terminate or engine.state.iteration != self.iteration or self.completed:
            return
        engine.fire_event(RoundEvents.ROUND_STARTED)
        self.after(engine)
        if engine.should_terminate:
            return
        self.drawn.append(torch.rand(()).item())
        self.completed = 1
        engine.fire_event(RoundEvents.ROUND_COMPLETED)


@pytest.mark.parametrize("iteration", [0, 3])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_run_that_is_stopped_in_a_round_again_and_again(tmp_path, iteration, times):
    def run_of(folder, after=lambda engine: None):
        drawing = Drawing(iteration, after)
        run = Run(folder, drawing)
        run.trainer.state.iteration = 0
        checkpoint = next(
            handler.__self__
            for handler, *_ in run.trainer._event_handlers[Events.STARTED]
            if isinstance(getattr(handler, "__self__", None), Checkpoint)
        )
        checkpoint.objects["drawing"] = drawing
        return run, drawing

    whole, expected = run_of(tmp_path / "whole")
    whole.start()
    seen = []
    for _ in range(times):
        stopped, _ = run_of(tmp_path, stop)
        stopped.start()
        seen += stopped.seen
        torch.manual_seed(len(seen) + 50)
        torch.rand(3)
    resumed, drawing = run_of(tmp_path)
    resumed.start()
    assert drawing.drawn == expected.drawn and len(drawing.drawn) == 1
    assert seen + resumed.seen == whole.seen
    assert resumed.weight == WEIGHTS[5]
    ends = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (tmp_path, tmp_path / "whole")]
    assert torch.equal(*(end["generators"]["cpu"] for end in ends))


def test_a_killed_run_resumes_after_its_last_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, At(3, interrupt)).start()
    resumed = Run(tmp_path)
    assert resumed.saved()["iteration"] == 2
    resumed.start()
    assert resumed.seen == Run(tmp_path / "whole").start().seen[2:]
    assert resumed.weight == WEIGHTS[5]


def test_a_finished_run_has_nothing_to_do(tmp_path, caplog):
    former = Run(tmp_path).start().path.stat().st_mtime_ns
    with caplog.at_level("INFO"):
        again = Run(tmp_path).start()
    assert "training is complete (5 iterations); nothing to do" in caplog.text
    assert again.path.stat().st_mtime_ns == former
    assert again.seen == []
    assert again.weight == WEIGHTS[5] == weight_in(tmp_path / "model.pt")
    assert again.saved()["iteration"] == 5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"seed": 1, "budget": 4, "roi_size": [1, 1, 2]},
            r"with .*, found .* \(seed: 0 then, 1 now; roi_size: \[1, 1, 1\] then, \[1, 1, 2\] now\); use the former",
        ),
        ({"seed": 0, "query": "he"}, r"that says query, found one of an earlier version"),
    ],
)
def test_other_settings_are_refused_one_by_one(tmp_path, settings, expected):
    Run(tmp_path).start()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    changed = Run(tmp_path, settings=settings)
    with pytest.raises(ValueError, match=rf"checkpoint\.pt: expected the checkpoint of a training {expected}"):
        changed.start()
    assert changed.seen == [] and changed.weight == 0
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_weights_saved_within_the_wrapper_of_several_processes_are_read(tmp_path):
    path = Run(tmp_path, At(3, stop)).start().path
    content = torch.load(path, weights_only=True)
    network = content["objects"]["network"]
    content["objects"]["network"] = {f"module.{name}": weight for name, weight in network.items()}
    torch.save(content, path)
    assert Run(tmp_path).start().weight == WEIGHTS[5]


@pytest.mark.parametrize("keep", [0, 200, -1])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = Run(tmp_path).start().path
    path.write_bytes(path.read_bytes()[:keep])
    again = Run(tmp_path)
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt: expected the checkpoint of a training, found .*; delete it to start from"
    ):
        again.start()
    assert again.seen == []


def test_an_interruption_while_saving_leaves_the_former_file(tmp_path, monkeypatch):
    save = torch.save

    def half(content, path):
        if content.get("iteration") != 4:
            return save(content, path)
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    run = Run(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.start()
    assert run.weight == WEIGHTS[4]
    assert run.saved()["iteration"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_best_weights_are_kept_and_not_the_last(tmp_path):
    scores = {1: 0.2, 2: 0.7, 3: 0.7, 4: 0.5}

    def validate(engine):
        run.validate(scores[engine.state.iteration])

    run = Run(tmp_path, *(At(iteration, validate) for iteration in scores))
    run.start()
    assert run.weight == WEIGHTS[5]
    assert weight_in(tmp_path / "model.pt") == WEIGHTS[2]
    assert run.best.best == run.saved()["objects"]["best_model"]["best"] == 0.7


def test_a_resumed_run_knows_the_best_score(tmp_path):
    first = Run(tmp_path, At(2, lambda engine: first.validate(0.7)), At(3, stop))
    first.start()
    resumed = Run(tmp_path, At(4, lambda engine: resumed.validate(0.6)))
    resumed.start()
    assert resumed.best.best == 0.7
    assert weight_in(tmp_path / "model.pt") == WEIGHTS[2]


def test_without_validation_the_last_weights_of_a_finished_run_are_kept(tmp_path):
    Run(tmp_path, At(3, stop)).start()
    assert not (tmp_path / "model.pt").exists()
    Run(tmp_path).start()
    assert weight_in(tmp_path / "model.pt") == WEIGHTS[5]


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    run = Run(tmp_path, At(2, lambda engine: run.validate(0.7)))
    run.start()
    assert run.best.best == 0.7 and not list(tmp_path.iterdir())


def test_a_finished_run_may_lie_in_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, caplog):
    Run(tmp_path).start()

    def refuse(*arguments):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(torch, "save", refuse)
    with caplog.at_level("INFO"):
        assert Run(tmp_path).start().weight == WEIGHTS[5]
    assert "training is complete" in caplog.text


@contextmanager
def full_disk(size):
    """Lets no file of this process grow beyond a size in bytes, as a full disk does."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_full_disk_leaves_the_former_checkpoint_whole(tmp_path):
    Run(tmp_path, At(3, stop)).start()
    former = (tmp_path / "checkpoint.pt").read_bytes()
    complaint = r"checkpoint.pt: .* of about 0 MB.* cannot be written .*; \d+ MB are free\); .* stays as it was"
    with full_disk(len(former) // 2), pytest.raises(OSError, match=complaint):
        Run(tmp_path).start()
    assert (tmp_path / "checkpoint.pt").read_bytes() == former
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    Run(tmp_path).start()
    assert weight_in(tmp_path / "model.pt") == WEIGHTS[5]
