"""What is served and what is asked for: files, a configuration of nginx, and the visits to it."""

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path

MTIME = 1_704_067_200  # of every file, 2024-01-01: nginx makes Last-Modified and ETag of it

_RANDOM = {
    "1.bin": 1,
    "10.bin": 10,
    "1k.bin": 1024,
    "16k.bin": 16_000,
    "24k.bin": 24_000,
    "48k.bin": 48_000,
    "64k.bin": 65_537,
}
_TEXT = {"text.txt": 30_000, "last.txt": 3000}
_WORDS = (
    "part",
    "seam",
    "drain",
    "take",
    "skip",
    "splice",
    "freeze",
    "iovec",
    "watermark",
    "frame",
    "chunk",
    "body",
)

CONFIGURATION = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/temp/body;
    proxy_temp_path {directory}/temp/proxy;
    fastcgi_temp_path {directory}/temp/fastcgi;
    uwsgi_temp_path {directory}/temp/uwsgi;
    scgi_temp_path {directory}/temp/scgi;
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    root {directory}/root;
    gzip_types text/plain;
    gzip_http_version 1.0;
    sub_filter_types *;

    server {{
        listen 127.0.0.1:{port};
        listen [::1]:{port};
        server_name localhost;

        location = /nothing {{ return 204; }}
        location = /moved {{ return 301 /files/10.bin; }}
        location /gzip/ {{ alias {directory}/root/files/; gzip on; }}
        # A filter that may change the length makes nginx leave it out.
        location /chunked/ {{
            alias {directory}/root/files/; output_buffers 2 4k; sub_filter "<never to be found>" "";
        }}
        location /unframed/ {{
            alias {directory}/root/files/; chunked_transfer_encoding off; sub_filter "<never to be found>" "";
        }}
        location /trailers/ {{
            alias {directory}/root/files/; output_buffers 2 8k;
            add_trailer X-Source $request_uri; add_trailer X-Second "after the last chunk";
        }}
        location /slow/ {{ alias {directory}/root/files/; limit_rate 8k; }}
        location /pipelined/ {{ alias {directory}/root/files/; }}
        location /six/ {{ alias {directory}/root/files/; }}
        location /put/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
        location /post/ {{ proxy_pass http://unix:{directory}/backend; }}
    }}
    server {{
        listen unix:{directory}/backend;
        return 200 "$request_method $request_uri $content_length\\n";
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request to make; `upload` names a file to send, which curl gets as its standard input if `stdin`."""

    method: str
    target: str
    options: tuple[str, ...] = ()
    upload: str | None = None
    stdin: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """One run of curl: on one connection, or on one for each exchange."""

    purpose: str
    exchanges: tuple[Exchange, ...]
    host: str = "127.0.0.1"
    parallel: bool = False


def _get(target: str, *options: str) -> Exchange:
    return Exchange("GET", target, options)


_GZIP = "--header", "Accept-Encoding: gzip"
_EXPECT = "--header", "Expect: 100-continue"
_EXPECT_NOTHING = "--header", "Expect:"
_CHUNKED = "--header", "Transfer-Encoding: chunked"
_ETAG = f'If-None-Match: "{MTIME:x}-{1024:x}"'

VISITS = (
    Visit(
        "keep-alive",
        (
            _get("/files/empty.bin"),
            _get("/files/1.bin"),
            _get("/files/10.bin"),
            _get("/files/1k.bin"),
            Exchange("HEAD", "/files/64k.bin", ("--head",)),
            _get("/files/64k.bin"),
            _get("/nothing"),
            _get("/files/text.txt"),
            _get("/files/1k.bin?etag", "--header", _ETAG),
            _get("/files/1k.bin?since", "--time-cond", "Mon, 01 Jan 2024 00:00:00 GMT"),
            _get("/files/64k.bin?range", "--range", "1000-2999"),
            _get("/files/64k.bin?ranges", "--range", "0-9,65000-65536"),
            _get("/files/missing.bin"),
            _get("/moved"),
            _get("/files"),
            _get("/files/300k.bin"),
            _get("/files/10.bin?after"),
            Exchange("HEAD", "/files/missing.bin?head", ("--head",)),
            _get("/files/1k.bin?last"),
        ),
    ),
    Visit(
        "chunks, content coding and trailers",
        (
            _get("/gzip/text.txt", *_GZIP),
            _get("/trailers/24k.bin"),
            _get("/trailers/1.bin"),
            Exchange("HEAD", "/chunked/24k.bin", ("--head",)),
            _get("/trailers/empty.bin"),
            _get("/chunked/48k.bin"),
        ),
    ),
    Visit(
        "uploads",
        (
            Exchange("POST", "/post/plain", _EXPECT_NOTHING, "10.bin"),
            Exchange("POST", "/post/expected", _EXPECT, "24k.bin"),
            Exchange("PUT", "/put/expected.bin", _EXPECT, "24k.bin"),
            Exchange("PUT", "/put/there.bin", _EXPECT_NOTHING, "1k.bin"),
            Exchange("PUT", "/put/stdin.bin", (), "64k.bin", stdin=True),
            Exchange("PUT", "/put/chunked.bin", (*_CHUNKED, *_EXPECT_NOTHING), "1k.bin"),
            _get("/put/stdin.bin"),
            Exchange("DELETE", "/put/chunked.bin", ("--request", "DELETE")),
        ),
    ),
    Visit("HTTP/1.0 with a length", (_get("/files/10.bin?old", "--http1.0"),)),
    Visit("HTTP/1.0, ended by the connection", (_get("/gzip/text.txt?old", "--http1.0", *_GZIP),)),
    Visit("HTTP/1.1, ended by the connection", (_get("/unframed/24k.bin"),)),
    Visit("parallel", tuple(_get(f"/slow/16k.bin?{n}") for n in range(1, 5)), parallel=True),
    Visit(
        "IPv6",
        (
            _get("/files/24k.bin?six"),
            _get("/gzip/text.txt?six", *_GZIP),
            _get("/trailers/10.bin"),
            _get("/six/last.txt"),
        ),
        host="[::1]",
    ),
)

# The requests of each are sent at once on one connection, by a socket, for curl no longer does this. HEAD is
# kept apart from the others, because tshark takes what follows the response to it for a body.
PIPELINED = (
    (
        _get("/pipelined/1k.bin"),
        _get("/pipelined/empty.bin"),
        _get("/pipelined/10.bin"),
        _get("/pipelined/24k.bin"),
        _get("/pipelined/text.txt"),
        _get("/pipelined/1.bin"),
    ),
    (
        _get("/pipelined/10.bin?head"),
        Exchange("HEAD", "/pipelined/48k.bin"),
        Exchange("HEAD", "/pipelined/1.bin"),
        _get("/pipelined/1k.bin?head"),
    ),
)


def build(directory: Path, *, port: int) -> None:
    """Write the files to serve, and nginx.conf."""
    for name in ("temp", "root/files", "root/put"):
        (directory / name).mkdir(parents=True)
    for name, data in contents().items():
        path = directory / "root/files" / name
        path.write_bytes(data)
        os.utime(path, (MTIME, MTIME))
    (directory / "root/put/there.bin").write_bytes(b"to be replaced\n")
    (directory / "nginx.conf").write_text(CONFIGURATION.format(directory=directory, port=port))


def contents() -> dict[str, bytes]:
    """Return the files under /files/, the same every time."""
    sizes = {"empty.bin": 0, **_RANDOM, "300k.bin": 300_000}
    noise = {name: hashlib.shake_256(name.encode()).digest(size) for name, size in sizes.items()}
    return noise | {name: _text(size) for name, size in _TEXT.items()}


def _text(size: int) -> bytes:
    choices = random.Random(size)
    lines: list[str] = []
    while sum(map(len, lines)) < size:
        words = [_WORDS[int(choices.random() * len(_WORDS))] for _ in range(12)]
        lines.append(" ".join(words) + "\n")
    return "".join(lines).encode()
