"""What `tests.forked` has imported before it forks: the examples' programs, and the clients that nobody here wrote."""

from __future__ import annotations

import contextlib
import gc
from importlib import import_module

__all__: list[str] = []

for name in ("examples.kafka.__main__", "examples.rocketmq.__main__", "kafka", "aiokafka", "confluent_kafka"):
    with contextlib.suppress(ImportError):  # a test says so that needs it
        import_module(name)
gc.collect()
gc.freeze()  # or the collector of each program writes to all of it, and the system copies it
