"""The command line: produce, consume, inspect, and what cannot be done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.forked import run_program
from tests.kafka.running import RunningBroker

ROOT: Final = Path(__file__).parents[2]


def run(*arguments: object, given: str = "") -> tuple[int, str, str]:
    """Run the program and return its status, and what it says on both streams."""
    return run_program("examples.kafka.__main__", *map(str, arguments), given=given)


@pytest.mark.parametrize(("topic", "told"), [("topic", (0, "0\n", "")), ("no topic", (2, "", "kafka: "))])
def test_the_package_is_the_program(tmp_path: Path, topic: str, told: tuple[int, str, str]) -> None:
    with RunningBroker(tmp_path) as broker:
        command = [sys.executable, "-m", "examples.kafka", "produce", broker.address, topic]
        done = subprocess.run(command, input="x", capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr[: len("kafka: ")]) == told


def test_lines_are_produced_consumed_and_seen_in_the_folder(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        assert run("produce", broker.address, "topic", given="one\n\nthree") == (0, "0\n1\n2\n", "")
        assert run("produce", broker.address, "topic", "--key", "k", given="four\n") == (0, "3\n", "")
        assert run("consume", broker.address, "topic") == (0, "one\n\nthree\nfour\n", "")
        assert run("consume", broker.address, "topic", "--from", 2) == (0, "three\nfour\n", "")
        assert run("consume", broker.address, "topic", "--from", 4) == (0, "", "")
        _, seen, _ = run("inspect", tmp_path)
        assert "topic-0: 1 segment" in seen
        assert "4 records" in seen
        assert broker.stop() == 0
    assert "nobody is at work" in run("inspect", tmp_path)[1]


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, "--no-auto-create") as broker:
        assert run("produce", broker.address, "new", given="x") == (2, "", "kafka: UNKNOWN_TOPIC_OR_PARTITION\n")
        assert run("consume", broker.address, "new") == (2, "", "kafka: UNKNOWN_TOPIC_OR_PARTITION\n")
        status, said, complaint = run("serve", "--data", tmp_path, "--listen", 0)
        assert (status, said) == (2, "")
        assert "in use by another broker" in complaint
        status, _, complaint = run("serve", "--data", tmp_path / "other", "--listen", broker.address)
        assert status == 2
        assert complaint.startswith("kafka: ")


@pytest.mark.parametrize("flush", ["sync", "async", "never"])
def test_what_is_written_is_there_after_a_kill(tmp_path: Path, flush: str) -> None:
    with RunningBroker(tmp_path, "--flush", flush) as broker:
        assert run("produce", broker.address, "topic", given="1\n2\n")[0] == 0
        broker.restart()
        assert run("consume", broker.address, "topic") == (0, "1\n2\n", "")
