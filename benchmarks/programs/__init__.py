"""Programs: what the library costs a server or a client of small messages, against the same by hand.

Each speaks a protocol twice: with this library, as its documentation teaches it, and by hand, as one who knows
bytearray and struct well writes it. Both use every value of a message as a str or an int, and send through a socket
whose other end is read by the same process. That both give the same answers is seen to before the clock runs.

_program       what a program has to do, and how it is measured
mqtt           a broker's and a client's packets, read by ``parse``
postgres       rows, extended queries
tls            records, and the hellos in them
dns            queries and answers over TCP, with names that point backwards
amqp           deliveries, publishes, acknowledgements
zip_directory  what the directory of an archive says
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from .._harness import Cell
from . import amqp, dns, mqtt, postgres, tls, zip_directory
from ._program import Program, cell, tasks_of

__all__ = ["PROGRAMS", "plan"]

PROGRAMS: Final[list[Program]] = [
    mqtt.PROGRAM, postgres.PROGRAM, tls.PROGRAM, dns.PROGRAM, amqp.PROGRAM, zip_directory.PROGRAM,
]  # fmt: skip


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    count = 20 if quick else 1000
    return [partial(cell, program, task, count) for program in PROGRAMS for task in tasks_of(program)]
