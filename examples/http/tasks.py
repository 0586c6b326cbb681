"""Functions that are called in other processes or on other machines, by Dask (https://docs.dask.org)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeAlias

__all__ = ["Submit", "submitting"]

Submit: TypeAlias = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]], Callable[[int], None]], list[Any]]
"""Calls a function with each of several arguments somewhere, tells the number of each when it is done, and returns the
results in order."""


@contextmanager
def submitting(workers: int | None, scheduler: str | None) -> Iterator[Submit]:
    """Give who does tasks: processes of this machine, or a cluster. Raises OSError where that is not there."""
    try:
        from dask.callbacks import Callback
        from dask.multiprocessing import get

        if scheduler is not None:
            from distributed.client import Client, as_completed
    except ImportError as error:
        raise OSError(f"Dask is needed for more than one process: pip install 'bytebufs[cluster]' ({error})") from error

    def in_processes(
        function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], done: Callable[[int], None]
    ) -> list[Any]:
        graph = {("task", number): (function, *one) for number, one in enumerate(arguments)}
        with Callback(posttask=lambda key, *_: done(key[1])):  # type: ignore[no-untyped-call]
            return list(get(graph, list(graph), pool=pool, num_workers=workers, chunksize=1))

    def on_cluster(
        function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], done: Callable[[int], None]
    ) -> list[Any]:
        futures = {client.submit(function, *one, pure=False): number for number, one in enumerate(arguments)}
        for future in as_completed(list(futures)):  # type: ignore[no-untyped-call]
            done(futures[future])
        return list(client.gather(list(futures)))

    if scheduler is None:
        # They begin in a fraction of the time of a cluster's, and are there for all tasks.
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield in_processes
        return
    with Client(scheduler) as client:  # type: ignore[no-untyped-call, possibly-undefined]
        yield on_cluster
