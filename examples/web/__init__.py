"""Files over HTTP/1.1: what `python -m examples.static_server` is made of."""
