"""A message broker as RocketMQ 4.x is one: a commit log in mapped files, and its clients' protocol in front of it.

    python -m examples.rocketmq serve --data DIR --listen HOST:PORT

To be read in this order; the store first:

    record         a message as it lies in the log, and as consumers are sent it
    mapped_files   a long run of bytes in mapped files of one size
    commitlog      the log: records one behind the other, and what is found of it after a crash
    consume_queue  for each message of a queue, where it is
    settings       what may be chosen
    flushing       when the log is written out: group commit, or some time later
    durable        small tables that survive
    data_folder    a lock, and what else is kept beside the data
    retention      what need not be kept any longer
    store          all of that together

then the broker:

    remoting       the protocol: commands, as bytes and as objects
    codes          its numbers
    limits         how much and how long, each with a name and where its number comes from
    topics         how many queues each has
    consumers      groups: who is in one, and how far it is
    connection     a client's requests, and their answers as they are ready
    routes         the name server: where a topic is
    sending        messages that come in
    pulling        messages that go out, and waiting for them
    membership     heartbeats and offsets
    broker         all of that together

and what goes with it:

    client         a small client
    inspect        a picture of a data directory
    __main__       the program

Not here: several brokers, replicas, transactions, batches, delayed messages, filters but by tags, access control, the
binary form of a command's head, and addresses of IPv6.
"""
