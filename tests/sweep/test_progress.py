"""The progress line of a sweep: what it counts, what it calls best, when it speaks, and when it tells the time left."""

import io
import math

import pytest
from rich.console import Console

from nnlab.sweep.progress import SweepProgress


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class Line:
    """A sweep's progress on no terminal, and what it prints when it is due."""

    def __init__(self, num_members, num_done=0):
        self.clock = Clock()
        self.printed = io.StringIO()
        self.progress = SweepProgress(Console(file=self.printed, width=40), num_members, num_done, self.clock)

    def after(self, seconds):
        """The line that the next news brings once so much time has passed; ten seconds are enough for one."""
        self.clock.now_s += seconds
        before = len(self.printed.getvalue())
        self.progress.began("clock")
        self.progress.ended("clock", "interrupted", "valid/loss", None, False)
        return self.printed.getvalue()[before:].removesuffix("\n")


def end(progress, name, status="completed", best=None, metric="valid/loss", grows=False):
    progress.began(name)
    progress.ended(name, status, metric, best, grows)


def counts(line):
    return line.split("  ")[0].replace("1 running", "0 running")  # the clock's own member runs when the line is drawn


def test_members_are_counted_by_what_became_of_them():
    line = Line(12, num_done=2)
    with line.progress as progress:
        for name, status in enumerate(["completed", "early_stopped", "diverged", "failed", "interrupted", "preempted"]):
            end(progress, str(name), status)
        progress.ended("its config is wrong", "failed", "valid/loss", None, False)
        assert counts(line.after(10)) == "5 of 12 done, 0 running, 2 failed"
        progress.began("a")
        progress.began("b")
        assert line.after(10).startswith("5 of 12 done, 3 running, 2 failed")


@pytest.mark.parametrize(
    ("values", "grows", "best"),
    [
        ([0.5, 0.25, 0.3], False, "best valid/loss 0.25 (m1)"),
        ([0.5, 0.25, 0.75], True, "best valid/loss 0.75 (m2)"),
        ([math.nan, 123456.0, None, math.inf], False, "best valid/loss 1.235e+05 (m1)"),
        ([0.5, 0.5], False, "best valid/loss 0.5 (m0)"),
        ([0.5, 0.5], True, "best valid/loss 0.5 (m0)"),
        ([None, math.nan], False, ""),
    ],
)
def test_best_value_is_shown_with_its_member(values, grows, best):
    line = Line(9)
    with line.progress as progress:
        for number, value in enumerate(values):
            end(progress, f"m{number}", best=value, grows=grows)
        assert line.after(10).partition("best ")[1:] == best.partition("best ")[1:]


def test_members_that_are_selected_by_other_metrics_are_not_compared():
    line = Line(9)
    with line.progress as progress:
        end(progress, "a", best=0.5)
        end(progress, "b[red]", best=0.25, metric="train/loss")
        assert line.after(10).endswith("best valid/loss 0.5 (a)  best train/loss 0.25 (b[red])")


def left(line):
    return next((part.removesuffix(" left") for part in line.split("  ") if part.endswith(" left")), None)


def test_time_left_is_that_of_the_rest_at_the_pace_so_far():
    line = Line(10, num_done=2)
    with line.progress as progress:
        assert left(line.after(10)) is None
        end(progress, "a")
        # One of eight took 20 s: seven take 140 s. The two that were done before set no pace.
        assert left(line.after(10)) == "2:20"
        progress.began("b")
        progress.began("c")
        progress.advanced("b", 0.25)
        progress.advanced("b", 0.5)
        progress.advanced("c", 0.5)
        # Two of eight's worth in 40 s: six take 120 s.
        assert left(line.after(20)) == "2:00"
        progress.ended("b", "interrupted", "valid/loss", None, False)
        # What b had done is not done any more: 1.5 in 50 s, 6.5 to do.
        assert left(line.after(10)) == "3:36"


def test_time_left_of_hours_has_hours():
    line = Line(100)
    with line.progress as progress:
        end(progress, "a")
        assert left(line.after(75)) == "2:03:45"


def test_members_that_fail_set_no_pace():
    line = Line(10)
    with line.progress as progress:
        for number in range(5):
            end(progress, f"{number}", "failed")
        assert left(line.after(10)) is None
        end(progress, "good")
        assert left(line.after(10)) == "1:20"  # one in 20 s, four to do


def test_time_left_is_not_told_before_a_hundredth_is_done():
    line = Line(1000)
    with line.progress as progress:
        for number in range(9):
            end(progress, f"{number}")
        assert left(line.after(10)) is None
        end(progress, "10th")
        assert left(line.after(10)) == "33:00"


def test_a_sweep_whose_members_all_failed_has_no_time_left():
    line = Line(2)
    with line.progress as progress:
        end(progress, "a", "failed")
        end(progress, "b", "failed")
        assert left(line.after(10)) is None


def test_plain_lines_come_every_ten_seconds_and_none_in_a_short_sweep():
    line = Line(100)
    with line.progress as progress:
        for number in range(75):
            line.clock.now_s += 0.5
            end(progress, f"{number}")
        printed = line.printed.getvalue().splitlines()
        assert [one.split()[0] for one in printed] == ["19", "39", "59"]
    short = Line(5)
    with short.progress as progress:
        short.clock.now_s += 9.9
        end(progress, "a")
    assert short.printed.getvalue() == ""


def terminal(width):
    return Console(file=io.StringIO(), width=width, force_terminal=True, _environ={"TERM": "xterm"})


def test_a_terminal_has_one_live_line_that_goes_when_the_sweep_is_over():
    console, clock = terminal(200), Clock()
    with SweepProgress(console, 3, clock=clock) as progress:
        assert "0 of 3 done, 0 running" in console.file.getvalue()
        progress.began("a")
        assert "1 running" not in console.file.getvalue()  # not yet due
        end(progress, "b", best=0.5)
        clock.now_s += 2
        progress.advanced("a", 0.5)
        shown = console.file.getvalue()
        assert "1 of 3 done, 1 running  best valid/loss 0.5 (b)" in shown  # too soon for the time left
        clock.now_s += 4
        progress.advanced("a", 0.5)
        shown = console.file.getvalue()
        assert "1 of 3 done, 1 running  0:06 left  best valid/loss 0.5 (b)" in shown  # 1.5 of 3 in 6 s
        assert "\n" not in shown
    assert console.file.getvalue().endswith("\x1b[2K")  # its last line is erased


def test_a_narrow_terminal_cuts_the_end_off_and_keeps_to_one_line():
    console, clock = terminal(30), Clock()
    with SweepProgress(console, 3, clock=clock) as progress:
        clock.now_s += 5
        progress.ended("a very long name of a member [0]", "completed", "valid/loss", 0.5, False)
        assert "1 of 3 done, 0 running  0:10 …" in console.file.getvalue()
        assert "\n" not in console.file.getvalue()
