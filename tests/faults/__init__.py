"""Faults, and which test holds each part of the library against them.

Here whole operations (`trials`: taking, joining, framing, mapping, receiving, sending, a server) come under a fault of
the whole process, each in a child. What happens at each step inside of one call stands elsewhere.

| fault | where | held by |
|---|---|---|
| each allocation fails | composites, framers, outboxes, inboxes | tests.test_no_memory |
|  | opening and mapping files | files/test_opening.py, files/test_mapping.py |
| no room in RLIMIT_AS | composites, framers, files, receiving | faults/test_no_memory.py |
|  | garbage that holds maps | files/test_region.py |
|  | streams and servers | faults/test_no_memory.py |
| no descriptor | files, transfer, streams; sending and receiving need none | faults/test_no_descriptors.py |
|  | a server that accepts | aio/test_serving.py |
| a full disk | flush, Outbox, transfer, maps | faults/test_disk_full.py, sending/test_flushing.py |
| a file that shrinks | regions, flush, Outbox, aio.write | files/test_region_shrunk.py, sending/, aio/test_writing.py |
|  | the source of a transfer, by its own sink | faults/test_reentrancy.py |
| a handler that returns | everything | faults/test_signals.py |
| a handler that raises | calls that wait: flush, Outbox, transfer, receive | faults/test_signals.py |
|  | the package's own code, at each bytecode | tests.test_interrupts, sending/, receiving/ |
|  | the task of a stream | aio/test_waiting.py |
| a fork | everything, before a call | faults/test_forks.py |
|  | in a flush, a parser, a frame; pools, leases, maps, a server | faults/test_forks.py |
|  | regions, anonymous memory | files/test_region.py, files/test_mapping.py |
| threads | composites that are shared by mistake; slices that are read | tests.test_threads, core/ |
|  | slices that are sent while their buffer changes | faults/test_threads.py |
|  | pools, regions | receiving/test_pool.py, files/test_region.py |
| the end of the interpreter | everything, in globals, cycles, finalizers, threads | faults/test_ending.py |
| the collector, eager | everything | faults/test_collector.py |
|  | changes of composites, framers, outboxes, inboxes | tests.test_reentrancy |
| garbage in cycles | owners that refer to their buffers | tests.test_leaks |
| foreign code in a call | composites, framers, outboxes, inboxes | tests.test_reentrancy |
|  | transfers, pools, streams | faults/test_reentrancy.py |
"""
