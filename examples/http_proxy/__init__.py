"""A reverse proxy for HTTP/1.1: bodies are sent on from the very memory that they were received into.

    python -m examples.http_proxy --listen HOST:PORT --to HOST:PORT [--NAME VALUE for each limit]

To be read in this order:

    limits      how much and how long, each with a name and where its number comes from
    heads       requests and answers as they are understood, and what is refused
    fields      what is taken out of a head and put in before it is sent on
    waiting     a side of the exchange: to wait for bytes, or for room, but not for ever
    body        a body, piece by piece, with its framing off, and relayed with the other side's
    upstreams   connections to the server behind: new ones, and those that wait for the next request
    tunnel      bytes both ways, after 101
    exchange    one request and its answer
    proxy       one client after another's requests, what is said where something fails, the log
    __main__    the program

A piece of a body is a slice of the receive buffer, and the next thing that happens to it is ``sendmsg``. In each
direction there is a window of what was received and not sent on, and watermarks of what was sent on and has not gone: a
slow reader stops whoever writes to it, at a few hundred KiB.

Not here: TLS, several servers behind, answers kept for later, HTTP/2. An answer that ends with its connection is passed
on as one: whether it is whole, nobody can know.
"""
