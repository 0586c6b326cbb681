"""HTTP/1.x messages out of packets, sans I/O: what `python -m examples.http_reassembly` is made of."""
