"""A Kafka log and broker: records go from the receive buffer to the disk and from the disk to the socket, uncopied.

    python -m examples.kafka serve --data DIR --listen [HOST:]PORT [--flush sync|async|never] [--no-auto-create]
    python -m examples.kafka produce BROKER TOPIC    a record for each line of standard input
    python -m examples.kafka consume BROKER TOPIC    a line for each record
    python -m examples.kafka inspect DIR             a picture of segments and indexes

To be read in this order; each module stands on those above it:

    errors            the protocol's error codes
    durable           small files that are whole or not there
    settings          how a log is kept

    batch             a record batch as it lies there: its header, its checksum over the parts
    records           the records in one, where somebody wants to look inside
    index             the sparse indexes: mapped, preallocated, bisected
    segment           a file of batches and its two indexes; recovery
    checkpoint        what is known of segments that were closed in good order
    flushing          group commit: one fdatasync for all who wait
    log               a partition: append, read, retention
    store             a data directory: its lock, its topics

    fields            wire types, and messages described by tables
    messages          the tables of topics and logs
    messages_group    the tables of groups, offsets, producers' ids
    requests          headers, and which handler a request is for

    producers         idempotent producers: what is a duplicate, what is out of order
    producer_ids      their ids
    producer_states   what is known of them over restarts
    produce, fetch, topics    the answers about logs

    members           what members of a group say, and are told
    groups            a group's way round: join, sync, heartbeat, leave
    offsets           what groups have committed
    coordinator       all groups, on the event loop
    group_handlers    the answers about groups

    limits            what connections may do; room for large requests
    broker            a connection's loop, and all that is offered
    client            the other end, for the command line
    inspect           the picture of a data directory, as well
    __main__          the program

What of it is pure (batch, records, fields, producers, groups) knows no descriptor, clock or loop. Not here: replication
and other brokers, transactions, static members, TLS and authentication, quotas, compaction.
"""
