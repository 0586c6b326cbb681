"""examples/web: requests, ranges, files and answers, without a connection."""

from __future__ import annotations

import email
import email.policy
import errno
import gc
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import BaseBuffer, FileRegion, Part, TruncatedFile, copy_audit
from bytebufs.testing import check_fragmentation
from examples.web import files
from examples.web.answer import Answer, answer_to, refusal_of
from examples.web.files import Site
from examples.web.range import MOST_RANGES, Unsatisfiable, ranges_in
from examples.web.request import MAX_FIELDS, MAX_HEAD, MAX_LINE, Refused, Request, Requests

from .conftest import IS_QUICK, PLACES, RANDOM_CUTS
from .descriptors import descriptors, left_open

CONTENT: Final = bytes(range(256)) * 4
HOUR: Final = 3600

# -- requests --------------------------------------------------------------------------------------------------


def fed() -> Callable[[Part], Iterator[Request]]:
    requests = Requests()

    def feed(piece: Part) -> Iterator[Request]:
        requests.buffer.append(piece)
        yield from iter(requests.take, None)

    return feed


def requests_in(pieces: Iterable[bytes]) -> tuple[list[Request], int]:
    """Return the requests, and the status of the refusal that ends them: 0 if none does."""
    feed = fed()
    found: list[Request] = []
    try:
        for piece in pieces:
            found.extend(feed(piece))
    except Refused as refused:
        return found, refused.status
    return found, 0


def test_a_request_is_its_first_line_and_its_fields() -> None:
    data = b"\r\nGET /a?b HTTP/1.1\r\nHost: h\r\nAccept: x\r\naccept:y \r\n folded\r\n\r\n"
    (request,), status = requests_in([data])
    assert status == 0
    assert (request.method, request.target, request.version) == ("GET", "/a?b", "HTTP/1.1")
    assert request.fields == [("Host", "h"), ("Accept", "x"), ("accept", "y folded")]
    assert request.only("host") == "h"
    assert request.only("accept") is None
    assert request.only("range") is None
    assert request.joined("accept") == "x, y folded"
    assert request.joined("range") is None
    assert not request.has_body


def test_as_many_fields_as_there_may_be_are_taken_and_the_last_one_may_be_folded() -> None:
    fields = b"Host: h\r\n" + b"X: a\r\n" * (MAX_FIELDS - 1)
    (request,), status = requests_in([b"GET / HTTP/1.1\r\n" + fields + b" folded\r\n\r\n"])
    assert status == 0
    assert len(request.fields) == MAX_FIELDS
    assert request.fields[-1] == ("X", "a folded")


@pytest.mark.parametrize(
    ("fields", "version", "keeps"),
    [
        ("", "1.1", True),
        ("Connection: close\r\n", "1.1", False),
        ("Connection: x, Close\r\n", "1.1", False),
        ("Connection: keep-alive\r\n", "1.0", True),
        ("", "1.0", False),
        ("Content-Length: 1\r\n", "1.1", False),
        ("Content-Length: 0\r\n", "1.1", True),
        ("Transfer-Encoding: chunked\r\n", "1.1", False),
    ],
)
def test_a_connection_is_kept_if_both_want_it_and_no_body_comes(fields: str, version: str, keeps: bool) -> None:
    (request,), _ = requests_in([f"GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n".encode()])
    assert request.keeps_alive == keeps


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nhOST:\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        (b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"a" * MAX_LINE, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * MAX_LINE, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * MAX_FIELDS, 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    assert requests_in([data]) == ([], status)
    assert requests_in(bytes([byte]) for byte in data) == ([], status)


@pytest.mark.parametrize(
    ("start", "host"),
    [
        ("GET / HTTP/1.1", "Host:"),
        ("GET / HTTP/1.1", "Host:\r\n\ta:80"),
        ("GET http://b HTTP/1.1", "Host: a"),
        ("GET http://b:80?x HTTP/1.1", "Host:"),
        ("OPTIONS * HTTP/1.1", "Host: [::1]"),
        ("CONNECT a:443 HTTP/1.1", "Host: a:443"),
        ("GET / HTTP/1.0", "X: no host"),
    ],
)
def test_a_request_is_for_one_host_or_for_none(start: str, host: str) -> None:
    found, status = requests_in([f"{start}\r\n{host}\r\n\r\n".encode()])
    assert (len(found), status) == (1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 5", "Content-Length: 5, 5", "Content-Length: 5\r\nContent-Length: 05", "Content-Length:",
        "Content-Length: 0x0", "Content-Length: +0", "Content-Length: 0 0", "Content-Length: 0,", "Content-Length: ,0",
        "Content-Length: 0\r\nContent-Length: 5", "Content-Length: 0\r\n 5", "Content-Length: 0;5",
        "Transfer-Encoding: chunked", "Transfer-Encoding:", "Transfer-Encoding: ,", "Transfer-Encoding: identity",
        "Transfer-Encoding: 0",
        "Transfer-Encoding: x, chunked", "Transfer-Encoding: chunked, x", "Transfer-Encoding:\r\n\tchunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0", "Transfer-Encoding: \x0bchunked",
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_anybody_may_take_for_a_body_is_never_read_as_requests(fields: str, version: str) -> None:
    """Refused, or answered as the last: who reads on behind it has to be told the same as we are."""
    head = f"GET / HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n{fields}\r\n\r\n"
    found, status = requests_in([head.encode()])
    assert status == 400 or not found[0].keeps_alive


@pytest.mark.parametrize("length", ["0", "00", "0\r\nContent-Length: 0", "0" * 5000])
def test_no_body_leaves_the_connection_as_it_is(length: str) -> None:
    (request,), _ = requests_in([f"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode()])
    assert request.keeps_alive


def test_empty_lines_count_as_what_follows_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 1_000 if IS_QUICK else MAX_HEAD
    monkeypatch.setattr("examples.web.request.MAX_HEAD", most)
    assert requests_in([b"\r\n" * (most // 2 - 1)]) == ([], 0)
    assert requests_in([b"\r\n" * (most // 2)]) == ([], 0)
    for more in (b"\r", b"\r\n", b"G"):
        assert requests_in([b"\r\n" * (most // 2) + more]) == ([], 414)
        assert requests_in([b"\r\n" * (most // 2), more]) == ([], 414)


STREAM: Final = (
    b"GET /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-\r\n\r\n"
    b"\r\nHEAD /b HTTP/1.0\n\nGET /c HTTP/1.1\r\nHost: h\r\n\r\nGET /"
)


@pytest.mark.parametrize("rest", [b"", b"d HTTP/3.0\r\n\r\n"])
def test_requests_do_not_depend_on_how_they_were_cut(rest: bytes) -> None:
    data = STREAM + rest
    found = check_fragmentation(fed, data, plain=lambda request: request, limit=PLACES, random_cuts=RANDOM_CUTS)
    assert [request.target for request in found.results if isinstance(request, Request)] == ["/a", "/b", "/c"]


def test_it_is_known_whether_some_of_a_request_has_come() -> None:
    requests = Requests()
    states = []
    for piece in [b"\r\n", b"G", b"ET / HTTP/1.0\r\n", b"\r\n"]:
        requests.buffer.append(piece)
        requests.take()
        states.append(requests.is_within_one)
    assert states == [False, True, True, False]


def test_a_head_that_comes_byte_by_byte_is_kept_in_few_parts() -> None:
    requests = Requests()
    for _ in range(MAX_LINE - 1):
        requests.buffer.append(b"a")
        assert requests.take() is None
    assert requests.buffer.part_count < 10


# -- ranges ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-0", [range(1)]),
        ("Bytes=2-", [range(2, 10)]),
        ("bytes=-3", [range(7, 10)]),
        ("bytes=-30", [range(10)]),
        ("bytes=9-99", [range(9, 10)]),
        ("bytes=5-5, ,-1,", [range(5, 6), range(9, 10)]),
        ("bytes=0-1,20-30", [range(2)]),
        ("bytes=\t-0 , 1-2", [range(1, 3)]),
        ("bytes=0-9999999999999999999", [range(10)]),
        ("bytes=3-2", []),
        ("bytes=0-1,3-2", []),
        ("bytes=", []),
        ("bytes=,", []),
        ("bytes=-", []),
        ("bytes=a-b", []),
        ("bytes=1", []),
        ("bytes=1-2-3", []),
        ("bytes =0-0", []),
        ("bytes=+1-2", []),
        ("bytes=\u0661-2", []),
        ("bytes=0-99999999999999999999", []),
        ("lines=0-0", []),
        ("0-0", []),
        ("", []),
        ("bytes=0-9,0-9", []),
        ("bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)), []),
    ],
)
def test_ranges_of_ten_bytes(value: str, ranges: list[range]) -> None:
    assert ranges_in(value, 10) == ranges


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-20,11-", "bytes=-0", "bytes=-0,10-10"])
def test_ranges_that_miss_the_file_cannot_be_satisfied(value: str) -> None:
    with pytest.raises(Unsatisfiable):
        ranges_in(value, 10)


def test_an_empty_file_has_no_range() -> None:
    assert ranges_in("bytes=-5", 0) == []
    with pytest.raises(Unsatisfiable):
        ranges_in("bytes=0-", 0)


SIZES = st.integers(0, 40)
NUMBERS = st.one_of(st.integers(0, 45), st.just(10**18))
SPECS = st.one_of(
    st.tuples(NUMBERS, NUMBERS),
    st.tuples(NUMBERS, st.none()),
    st.tuples(st.none(), NUMBERS),
)


@given(size=SIZES, specs=st.lists(SPECS, min_size=1, max_size=MOST_RANGES + 2))
@example(size=0, specs=[(None, 1)])
def test_ranges_are_those_of_a_model(size: int, specs: list[tuple[int | None, int | None]]) -> None:
    """The model asks of each byte whether a range wants it."""

    def wants(first: int | None, last: int | None, at: int) -> bool:
        if first is None:
            assert last is not None
            return at >= size - last
        return first <= at and (last is None or at <= last)

    value = "bytes=" + ",".join(f"{'' if a is None else a}-{'' if b is None else b}" for a, b in specs)
    is_valid = all(a is None or b is None or a <= b for a, b in specs)
    wanted = [[at for at in range(size) if wants(a, b, at)] for a, b in specs]
    is_all_of_nothing = not size and any(a is None and b for a, b in specs)
    try:
        found = [list(span) for span in ranges_in(value, size)]
    except Unsatisfiable:
        assert is_valid
        assert not any(wanted)
        assert not is_all_of_nothing
    else:
        if not is_valid or len(specs) > MOST_RANGES or sum(map(len, wanted)) > size or is_all_of_nothing:
            assert found == []
        else:
            assert found == [positions for positions in wanted if positions]
            assert found


@given(st.text(max_size=30), SIZES)
def test_any_text_is_ranges_or_none(value: str, size: int) -> None:
    for text in (value, f"bytes={value}"):
        try:
            found = ranges_in(text, size)
        except Unsatisfiable:
            continue
        assert all(0 <= span.start < span.stop <= size for span in found)


# -- files -----------------------------------------------------------------------------------------------------


def write(path: Path, content: bytes = CONTENT) -> Path:
    """Write a file that was last changed an hour ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    changed = int(time.time() - HOUR)
    os.utime(path, (changed, changed))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder to serve; beside it there is a secret."""
    www = tmp_path / "www"
    write(tmp_path / "secret", b"secret")
    write(tmp_path / "www-too" / "secret", b"secret")
    write(www / "file.bin")
    write(www / "index.html", b"<p>top")
    write(www / "sub" / "index.html", b"<p>sub")
    write(www / "sub" / "\u00e9 %.txt", b"text")
    write(www / os.fsdecode(b"\xff.css"), b"style")
    write(www / "none" / "README", b"readme")
    write(www / ".git" / "config", b"secret")
    write(www / ".well-known" / "security.txt", b"contact")
    write(www / "empty.js", b"")
    (www / "index" / "index.html").mkdir(parents=True)
    return www


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    yield site
    site.close()


def opened(site: Site, target: str) -> bytes:
    return bytes(site.open(target).region[:])


def status_of(site: Site, target: str) -> int:
    with pytest.raises(Refused) as caught:
        site.open(target)
    return caught.value.status


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/file.bin", CONTENT),
        ("//file.bin", CONTENT),
        ("/f%69le%2Ebin?query/../x", CONTENT),
        ("/", b"<p>top"),
        ("http://host:80/file.bin", CONTENT),
        ("HTTP://host", b"<p>top"),
        ("http://host?x", b"<p>top"),
        ("/index.html", b"<p>top"),
        ("/sub/", b"<p>sub"),
        ("/sub/%C3%A9%20%25.txt", b"text"),
        ("/sub/\xc3\xa9%20%25.txt", b"text"),
        ("/%ff.css", b"style"),
        ("/.well-known/security.txt", b"contact"),
        ("/empty.js", b""),
    ],
)
def test_targets_lead_to_files(site: Site, target: str, content: bytes) -> None:
    assert opened(site, target) == content


@pytest.mark.parametrize(
    "target",
    [
        "/missing", "/file.bin/", "/file.bin/x", "/none/", "/index/", "/sub/%2e%2e/file.bin", "/../secret", "/..",
        "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret", "/sub/..%2f..%2fsecret", "/.%2e/secret", "/./file.bin",
        "/sub/../../secret", "/.git/config", "/%2egit/config", "/sub%2findex.html", "/%252e%252e/secret",
        "/" + "a" * 300, "/\u00e9", "/..\\secret",
    ],
)  # fmt: skip
def test_nothing_else_is_there(site: Site, target: str) -> None:
    assert status_of(site, target) == 404


@pytest.mark.parametrize(
    "target", ["/%00", "/file.bin%00.txt", "*", "file.bin", "ftp://host/file.bin", "host:80", "?x", ""]
)
def test_what_is_no_path_is_refused(site: Site, target: str) -> None:
    assert status_of(site, target) == 400


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("/sub?a=b&c", "/sub/?a=b&c"),
        ("//sub", "/sub/"),
        ("http://elsewhere//sub", "/sub/"),
        ("/%73ub", "/sub/"),
        ("/none", "/none/"),
    ],
)
def test_a_folder_is_redirected_to_with_its_slash(site: Site, target: str, location: str) -> None:
    with pytest.raises(Refused) as caught:
        site.open(target)
    assert (caught.value.status, caught.value.fields) == (301, (("Location", location),))


def test_links_are_followed_below_the_folder_only(folder: Path, site: Site) -> None:
    links: dict[str, str | Path] = {
        "inside": "sub/index.html",
        "folder": "sub",
        "absolute": folder / "sub" / "index.html",
        "outside": "../secret",
        "absolute-outside": folder.parent / "secret",
        "parent": "..",
        "beside": "../www-too",
        "loop": "loop",
        "dangling": "nowhere",
        "null": "/dev/null",
    }
    for name, place in links.items():
        (folder / name).symlink_to(place)
    (folder / "linked").mkdir()
    (folder / "linked" / "index.html").symlink_to("../../secret")
    assert opened(site, "/inside") == opened(site, "/folder/") == opened(site, "/absolute") == b"<p>sub"
    targets = ("/outside", "/absolute-outside", "/parent/secret", "/parent/", "/beside/secret", "/loop", "/dangling")
    for target in (*targets, "/null", "/linked/"):
        assert status_of(site, target) == 404, target


def test_only_regular_files_are_opened(folder: Path, site: Site) -> None:
    os.mkfifo(folder / "pipe")  # opening it would wait for somebody who writes
    assert status_of(site, "/pipe") == 404


def _fail(number: int, *_: object, **__: object) -> int:
    raise OSError(number, os.strerror(number))


def test_errors_of_the_system_have_a_status(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {errno.EACCES: 403, errno.EMFILE: 503, errno.EIO: 500}
    for number, status in numbers.items():
        monkeypatch.setattr(os, "open", partial(_fail, number))
        assert status_of(site, "/file.bin") == status


def test_a_folder_that_was_moved_is_still_the_one_that_is_served(folder: Path, site: Site) -> None:
    write(folder.parent / "new" / "file.bin", b"new")
    folder.rename(folder.parent / "old")
    (folder.parent / "new").rename(folder)
    assert status_of(site, "/file.bin") == 404  # it does not lie below the path that was given: better nothing


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.TXT", "text/plain; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.tar.unheard-of", "application/octet-stream"),
        ("README", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_suffix(folder: Path, site: Site, name: str, kind: str) -> None:
    write(folder / name)
    assert site.open(f"/{name}").type == kind


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the clock of sites stand still, and return the time: "just now" is over after a second."""
    now = int(time.time())
    monkeypatch.setattr(files, "time", SimpleNamespace(time=lambda: now + 0.75))
    return now


def test_what_has_just_changed_has_a_weak_validator(folder: Path, site: Site, now: int) -> None:
    for name, changed in (("a second ago", now - 0.25), ("new", now), ("to come", now + HOUR)):
        os.utime(write(folder / name), (changed, changed))
    assert not site.open("/a%20second%20ago").etag.startswith("W/")
    assert site.open("/new").etag.startswith("W/")
    to_come = site.open("/to%20come")
    assert to_come.etag.startswith("W/")
    assert to_come.modified == now


def test_a_date_is_that_of_the_second_to_its_very_end(folder: Path, site: Site) -> None:
    os.utime(folder / "file.bin", ns=(0, 10**18 + 999_999_999))  # a float would say the next one
    assert site.open("/file.bin").last_modified == "Sun, 09 Sep 2001 01:46:40 GMT"


def test_a_date_before_all_dates_is_the_first_one(folder: Path, site: Site) -> None:
    os.utime(folder / "file.bin", (-(10**9), -(10**9)))
    assert site.open("/file.bin").last_modified == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_files_that_differ_have_different_tags(folder: Path, site: Site) -> None:
    before = site.open("/file.bin").etag
    assert site.open("/file.bin").etag == before
    write(folder / "file.bin", CONTENT + b"x")
    longer = site.open("/file.bin").etag
    os.utime(folder / "file.bin", (1, 1))
    assert len({before, longer, site.open("/file.bin").etag}) == 3


def test_a_file_with_the_size_and_time_of_the_one_before_has_another_tag(folder: Path, site: Site) -> None:
    """In its place, or written over it: what copies, syncs and unpacks files sets their times."""
    path, other = folder / "file.bin", folder / "other"
    status = path.stat()
    tags = {site.open("/file.bin").etag}
    other.write_bytes(CONTENT[::-1])
    for change in (lambda: other.replace(path), lambda: path.write_bytes(CONTENT)):
        last = path.stat().st_ctime_ns
        change()
        while path.stat().st_ctime_ns == last:  # the clock of files may be coarse
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        tags.add(site.open("/file.bin").etag)
    assert len(tags) == 3


def test_a_tag_does_not_tell_the_number_of_the_inode(folder: Path, site: Site) -> None:
    """CVE-2003-1418: not even whether it changes, all else being equal. A second name has the same content, and tag."""
    (folder / "second").hardlink_to(folder / "file.bin")
    status = (folder / "file.bin").stat()
    tag = site.open("/file.bin").etag
    assert site.open("/second").etag == tag
    assert re.fullmatch(r'"[0-9a-f-]+"', tag)
    assert {int(part, 16) for part in tag.strip('"').split("-")} == {
        status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    }  # fmt: skip


def test_no_descriptor_is_left_behind(site: Site) -> None:
    gc.collect()  # what other tests have left
    before = descriptors()
    for target in ("/file.bin", "/missing", "/sub", "/sub/", "/none/", "/../x", "/file.bin/", "/index/"):
        try:
            site.open(target)
        except Refused:
            pass
    assert left_open() == before


# -- answers ---------------------------------------------------------------------------------------------------


class Heard:
    """An answer, read back."""

    def __init__(self, answer: Answer) -> None:
        head, _, self.body = bytes(answer.message).partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.phrase = line.split(" ", 2)
        self.status = int(status)
        self.fields = dict(line.split(": ", 1) for line in lines)
        assert len(self.fields) == len(lines)
        self.closes = answer.closes
        assert (self.fields.get("Connection") == "close") == self.closes


def ask(site: Site, target: str = "/file.bin", method: str = "GET", /, **fields: str | list[str]) -> Heard:
    request = Request(method, target, "HTTP/1.1", [("Host", "h")])
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            request.fields.append((name.replace("_", "-"), value))
    return Heard(answer_to(request, site))


def test_a_file_is_a_header_and_a_region_in_one_message(site: Site) -> None:
    with copy_audit() as audit:
        answer = answer_to(Request("GET", "/file.bin", "HTTP/1.1", []), site)
    assert audit.nbytes == 0
    assert answer.message.part_count == 2
    assert isinstance(answer.message, BaseBuffer)
    assert "FileRegion of 1024" in str(answer.message.layout())
    heard = Heard(answer)
    assert (heard.version, heard.status, heard.phrase, heard.body) == ("HTTP/1.1", 200, "OK", CONTENT)
    assert set(heard.fields) == {
        "Date", "Last-Modified", "ETag", "Accept-Ranges", "Content-Type", "Content-Length",
    }  # fmt: skip
    assert heard.fields["Content-Length"] == str(len(CONTENT))
    assert not heard.closes


def test_head_is_get_without_the_body(site: Site) -> None:
    for target in ("/file.bin", "/empty.js", "/missing", "/sub"):
        get, head = ask(site, target), ask(site, target, "HEAD")
        assert head.body == b""
        get.fields.pop("Date"), head.fields.pop("Date")
        assert (head.status, head.fields) == (get.status, get.fields)
    assert ask(site, "/file.bin", "HEAD", Range="bytes=0-1").status == 200  # a range is for GET alone


def test_an_empty_file_has_an_empty_body(site: Site) -> None:
    heard = ask(site, "/empty.js")
    assert (heard.status, heard.fields["Content-Length"], heard.body) == (200, "0", b"")
    assert ask(site, "/empty.js", Range="bytes=-1").status == 200
    heard = ask(site, "/empty.js", Range="bytes=0-")
    assert (heard.status, heard.fields["Content-Range"]) == (416, "bytes */0")


def test_other_methods_are_refused(site: Site) -> None:
    heard = ask(site, "/file.bin", "POST")
    assert (heard.status, heard.fields["Allow"]) == (405, "GET, HEAD")
    assert ask(site, "*", "OPTIONS").status == 405
    assert ask(site, "host:443", "CONNECT").status == 405
    assert ask(site, "/file.bin", "BREW").status == 501
    assert ask(site, "/file.bin", "get").status == 501


def test_what_cannot_be_parsed_is_the_end(site: Site) -> None:
    heard = Heard(refusal_of(Refused(400)))
    assert (heard.status, heard.closes, heard.body) == (400, True, b"400 Bad Request\n")


def test_it_says_why_a_request_is_refused(site: Site) -> None:
    with pytest.raises(Refused) as caught:
        site.open("http://u@h/\xfc")
    heard = Heard(refusal_of(caught.value))
    assert heard.body == b"400 Bad Request: bad target 'http://u@h/\\xfc'\n"
    assert heard.fields["Content-Length"] == str(len(heard.body))


def test_http_1_0_is_told_that_the_connection_stays(site: Site) -> None:
    answer = answer_to(Request("GET", "/file.bin", "HTTP/1.0", [("Connection", "keep-alive")]), site)
    assert Heard(answer).fields["Connection"] == "keep-alive"
    assert Heard(answer_to(Request("GET", "/file.bin", "HTTP/1.0", []), site)).closes


@pytest.mark.parametrize(("value", "first", "stop"), [("0-0", 0, 1), ("100-", 100, 1024), ("-1", 1023, 1024)])
def test_one_range_is_that_part_of_the_file(site: Site, value: str, first: int, stop: int) -> None:
    heard = ask(site, Range=f"bytes={value}")
    assert (heard.status, heard.body) == (206, CONTENT[first:stop])
    assert heard.fields["Content-Range"] == f"bytes {first}-{stop - 1}/1024"
    assert heard.fields["Content-Length"] == str(stop - first)


def test_several_ranges_are_parts_of_a_multipart(site: Site) -> None:
    heard = ask(site, Range=["bytes=0-9, -5", "500-599, 2000-"])
    assert heard.status == 206
    assert heard.fields["Content-Length"] == str(len(heard.body))
    assert "Content-Range" not in heard.fields
    head = f"Content-Type: {heard.fields['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + heard.body, policy=email.policy.HTTP)
    assert message.is_multipart()
    parts = list(message.iter_parts())
    assert [part["Content-Range"] for part in parts] == ["bytes 0-9/1024", "bytes 1019-1023/1024", "bytes 500-599/1024"]
    assert [part["Content-Type"] for part in parts] == ["application/octet-stream"] * 3
    for span in (slice(10), slice(-5, None), slice(500, 600)):
        assert b"\r\n\r\n" + CONTENT[span] + b"\r\n--" in heard.body


def test_ranges_of_which_one_can_be_satisfied_are_that_one(site: Site) -> None:
    heard = ask(site, Range="bytes=5000-, 3-4")
    assert (heard.status, heard.fields["Content-Range"], heard.body) == (206, "bytes 3-4/1024", CONTENT[3:5])


def test_ranges_that_cannot_be_satisfied_are_told_the_size(site: Site) -> None:
    heard = ask(site, Range="bytes=1024-")
    assert (heard.status, heard.fields["Content-Range"]) == (416, "bytes */1024")


def test_a_file_that_shrank_is_found_out_when_it_is_sent(folder: Path, site: Site) -> None:
    answer = answer_to(Request("GET", "/file.bin", "HTTP/1.1", []), site)
    os.truncate(folder / "file.bin", 10)
    with pytest.raises(TruncatedFile):
        bytes(answer.message)


def test_stable_sites_give_stable_regions(folder: Path) -> None:
    site = Site(folder, stable=True)
    region = site.open("/file.bin").region
    site.close()
    assert isinstance(region, FileRegion)
    assert region.stable


# -- conditions ------------------------------------------------------------------------------------------------

EARLIER, SAME, LATER = "earlier", "same", "later"
TAG, OTHER, WEAK = "tag", '"other"', "weak"


def value_of(site: Site, word: str, target: str = "/file.bin") -> str:
    """Fill in what depends on the file."""
    resource = site.open(target)
    moved = {EARLIER: -10, SAME: 0, LATER: 10}
    first, _, change = word.partition("/")
    if first in moved:
        return SPELLED[change](datetime.fromtimestamp(resource.modified + moved[first], UTC))
    return {TAG: resource.etag, WEAK: f"W/{resource.etag}"}.get(word, word)


def imf(date: datetime) -> str:
    return format_datetime(date, usegmt=True)


SPELLED: Final[dict[str, Callable[[datetime], str]]] = {
    "": imf,
    "rfc850": lambda date: f"{date:%A, %d-%b-%y %H:%M:%S} GMT",
    "asctime": lambda date: time.asctime(date.timetuple()),
    # and no dates
    "zone": lambda date: imf(date).replace("GMT", "+0000"),
    "none": lambda date: imf(date).removesuffix(" GMT"),
    "day": lambda date: imf(date + timedelta(1))[:3] + imf(date)[3:],
    "more": lambda date: f"{imf(date)}; length=1024",
    "two": lambda date: f"{imf(date)}, {imf(date)}",
    "iso": lambda date: date.isoformat(),
}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"If_None_Match": TAG}, 304),
        ({"If_None_Match": WEAK}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": OTHER}, 200),
        ({"If_None_Match": "tag without quotes"}, 200),
        ({"If_None_Match": ""}, 200),
        ({"If_Match": TAG}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": WEAK}, 412),
        ({"If_Match": OTHER}, 412),
        ({"If_Modified_Since": EARLIER}, 200),
        ({"If_Modified_Since": SAME}, 304),
        ({"If_Modified_Since": LATER}, 304),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Modified_Since": "Mon, 99 Nov 9999 99:99:99 GMT"}, 200),
        ({"If_Modified_Since": "Mon, 01 Jan 0000 00:00:00 -9999"}, 200),
        ({"If_Modified_Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 200),
        ({"If_Modified_Since": "Sun Nov  6 08:49:37 1994"}, 200),
        ({"If_Unmodified_Since": EARLIER}, 412),
        ({"If_Unmodified_Since": SAME}, 200),
        ({"If_Unmodified_Since": LATER}, 200),
        # the order in which they count: RFC 9110, section 13.2.2
        ({"If_Match": TAG, "If_Unmodified_Since": EARLIER}, 200),
        ({"If_Match": OTHER, "If_None_Match": TAG}, 412),
        ({"If_Match": TAG, "If_None_Match": TAG}, 304),
        ({"If_None_Match": OTHER, "If_Modified_Since": LATER}, 200),
        ({"If_None_Match": TAG, "If_Modified_Since": EARLIER}, 304),
        ({"If_Unmodified_Since": EARLIER, "If_None_Match": TAG}, 412),
        ({"If_None_Match": TAG, "Range": "bytes=0-0"}, 304),
        ({"If_None_Match": OTHER, "Range": "bytes=0-0"}, 206),
        ({"If_Match": OTHER, "Range": "bytes=0-0"}, 412),
        ({"If_None_Match": TAG, "Range": "bytes=5000-"}, 304),
        ({"Range": "bytes=0-0", "If_Range": TAG}, 206),
        ({"Range": "bytes=0-0", "If_Range": WEAK}, 200),
        ({"Range": "bytes=0-0", "If_Range": OTHER}, 200),
        ({"Range": "bytes=0-0", "If_Range": SAME}, 206),
        ({"Range": "bytes=0-0", "If_Range": EARLIER}, 200),
        ({"Range": "bytes=0-0", "If_Range": LATER}, 200),
        ({"Range": "bytes=5000-", "If_Range": OTHER}, 200),
        ({"If_Range": TAG}, 200),
    ],
)
def test_conditions(site: Site, fields: dict[str, str], status: int) -> None:
    filled = {name: value_of(site, value) for name, value in fields.items()}
    heard = ask(site, **filled)
    assert heard.status == status
    if status == 304:
        assert heard.body == b""
        assert set(heard.fields) == {"Date", "Last-Modified", "ETag"}
    assert ask(site, "/file.bin", "HEAD", **filled).status == (200 if status == 206 else status)


@pytest.mark.parametrize("change", ["", "rfc850", "asctime"])
def test_dates_of_conditions_have_three_formats(site: Site, change: str) -> None:
    for word, since, unmodified, ranges in ((EARLIER, 200, 412, 200), (SAME, 304, 200, 206), (LATER, 304, 200, 200)):
        date = value_of(site, f"{word}/{change}")
        assert ask(site, If_Modified_Since=date).status == since
        assert ask(site, If_Unmodified_Since=date).status == unmodified
        assert ask(site, Range="bytes=0-0", If_Range=date).status == ranges


@pytest.mark.parametrize("change", ["zone", "none", "day", "more", "two", "iso"])
def test_what_is_no_date_is_no_condition(site: Site, change: str) -> None:
    """RFC 9110, sections 13.1.3 and 13.1.4. Ranges are not put together because of it: section 13.1.5."""
    for word in (EARLIER, SAME, LATER):
        date = value_of(site, f"{word}/{change}")
        assert ask(site, If_Modified_Since=date).status == 200
        assert ask(site, If_Unmodified_Since=date).status == 200
        assert ask(site, Range="bytes=0-0", If_Range=date).status == 200
        assert ask(site, If_None_Match=value_of(site, TAG), If_Modified_Since=date).status == 304


def test_conditions_do_not_replace_an_answer_that_is_no_success(site: Site) -> None:
    """RFC 9110, section 13.2.1."""
    for fields in (
        {"If_Match": OTHER},
        {"If_None_Match": "*"},
        {"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        assert ask(site, "/sub", **fields).status == 301
        assert ask(site, "/missing", **fields).status == 404
        assert ask(site, "/file.bin", "PUT", **fields).status == 405
    assert ask(site, If_None_Match=OTHER, Range="bytes=5000-").status == 416


def test_conditions_are_not_asked_of_what_is_not_there(site: Site) -> None:
    assert ask(site, "/missing", If_None_Match="*").status == 404


def test_a_tag_is_one_of_a_list(site: Site) -> None:
    tag = site.open("/file.bin").etag
    for tags in (f'"a", {tag}', f', ,"a,b" ,W/"c",{tag}', f'{tag}, "x"', ['"a"', tag]):
        assert ask(site, If_None_Match=tags).status == 304
    for tags in (f'"a" {tag}', f"x, {tag}", f'"a", x{tag}'):
        assert ask(site, If_None_Match=tags).status == 200
    assert ask(site, If_None_Match='"",' * 2000).status == 200


def test_two_conditions_of_a_kind_that_is_single_are_none(site: Site) -> None:
    resource = site.open("/file.bin")
    assert ask(site, If_Modified_Since=[resource.last_modified] * 2).status == 200
    assert ask(site, Range="bytes=0-0", If_Range=[resource.etag] * 2).status == 200


def test_weak_validators_do_not_put_ranges_together(folder: Path, site: Site, now: int) -> None:
    os.utime(write(folder / "new"), (now, now))
    tag, date = value_of(site, TAG, "/new"), value_of(site, SAME, "/new")
    assert ask(site, "/new", Range="bytes=0-0", If_Range=tag).status == 200
    assert ask(site, "/new", Range="bytes=0-0", If_Range=date).status == 200
    assert ask(site, "/new", If_None_Match=tag).status == 304
    assert ask(site, "/new", If_Match=tag).status == 412
