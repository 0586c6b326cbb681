"""examples/web/target.py: Host fields and targets, beside grammars of our own."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples.web.refused import Refused
from examples.web.target import check_host, check_target, origin_form


def refusal(*values: str, version: str = "HTTP/1.1") -> str:
    """Return why Host fields are refused; "" if they are not."""
    try:
        check_host(list(values), version)
    except Refused as refused:
        return refused.why if refused.status == 400 else str(refused.status)
    return ""


# -- hosts -------------------------------------------------------------------------------------------------------

HOSTS: Final = [
    "example.org", "h", "EXAMPLE", "a-b.c_d~e", "xn--bcher-kva.example", "192.0.2.1", "999.999", "1", "h.", "..",
    "%41%20%ff%FF", "!$&'()*+,;=", "a,b",
    "[::]", "[::1]", "[2001:db8::7]", "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]", "[FE80::AbCd]",
    "[::192.0.2.1]", "[::ffff:192.0.2.1]", "[1:2:3:4:5:6:192.0.2.1]", "[1::5:192.0.2.1]",
    "[v1.a]", "[vF0.a:b]", "[V7.::!$&'()*+,;=]",
]  # fmt: skip


@pytest.mark.parametrize("host", ["", *HOSTS])
def test_hosts(host: str) -> None:
    for port in ("", ":", ":0", ":80", ":65536", ":" + "0" * 5000):
        assert refusal(host + port) == ""
        if host:
            assert origin_form(f"http://{host}{port}/p") == "/p"
    check_host([host], "HTTP/1.0")


@pytest.mark.parametrize(
    "value",
    [
        # what belongs to a URI, but to no host
        "user@h", "user:secret@h", "@h", "h@", "http://h", "//h", "h/", "h/path", "h?", "h?x", "h#", "h#x", "\\h",
        # ports
        "h:80x", "h:x", "h:-1", "h:+1", "h: 80", "h:80 ", "h:80:80", "h::80", "::", "h:%38", "h:\u0668", "h:8\u00b2",
        # no letters of a name
        "a b", "a\tb", "h\x01", "h\x7f", "<h>", '"h"', "h^", "h`", "{h}", "h|", "b\u00fccher", "\u0661", "h\n",
        "%", "%4", "%g0", "%0g", "a%", "%%41",
        # several
        "a, b", "a ,b",
        # brackets
        "[", "]", "[]", "[h]", "[::1", "::1]", "::1", "[[::1]]", "[::1]x", "x[::1]", "[::1]:80x", "[::1]80", "[ ::1]",
        "[192.0.2.1]", "[::1]]",
        # addresses
        "[1]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7:8::]", "[::1:2:3:4:5:6:7:8]", "[1::2::3]",
        "[:]", "[:::]",
        "[:1]", "[1:]", "[::12345]", "[::g]", "[1:2:3:4:5:6:7:192.0.2.1]", "[192.0.2.1::]", "[::192.0.2.1:1]",
        "[::192.0.2]", "[::192.0.2.256]", "[::192.0.2.01]", "[::192.0.2.1.5]", "[::.1.1.1]", "[::1/64]", "[::-1]",
        "[fe80::1%eth0]", "[fe80::1%25eth0]", "[::1%]", "[.]", "[::\u0661]",
        # a version to come
        "[v.a]", "[v1.]", "[v1]", "[v1a]", "[vg.a]", "[v1.a/b]", "[v1.[a]]", "[v1.%41]", "[v1.a@b]", "[x1.a]",
    ],
)  # fmt: skip
def test_what_is_no_host_is_shown_in_the_refusal(value: str) -> None:
    assert refusal(value) == f"bad Host field {value!a}"
    assert refusal(value, version="HTTP/1.0") == refusal(value)


def test_how_many_hosts() -> None:
    assert refusal() == "no Host field"
    assert refusal(version="HTTP/1.0") == ""
    assert refusal("a", "a") == "2 Host fields"
    assert refusal("", "", "b", version="HTTP/1.0") == "3 Host fields"


def test_what_is_long_is_not_shown_whole() -> None:
    assert refusal("/" * 100) == f"bad Host field '{'/' * 100}'"
    assert refusal("/" * 8000) == f"bad Host field '{'/' * 100}'..."


H16: Final = "[0-9A-Fa-f]{1,4}"
OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
LS32: Final = rf"(?:{H16}:{H16}|{OCTET}(?:\.{OCTET}){{3}})"
IP6: Final = re.compile(  # RFC 3986, section 3.2.2, line by line
    "|".join(
        [
            rf"(?:{H16}:){{6}}{LS32}",
            rf"::(?:{H16}:){{5}}{LS32}",
            rf"(?:{H16})?::(?:{H16}:){{4}}{LS32}",
            rf"(?:(?:{H16}:){{0,1}}{H16})?::(?:{H16}:){{3}}{LS32}",
            rf"(?:(?:{H16}:){{0,2}}{H16})?::(?:{H16}:){{2}}{LS32}",
            rf"(?:(?:{H16}:){{0,3}}{H16})?::{H16}:{LS32}",
            rf"(?:(?:{H16}:){{0,4}}{H16})?::{LS32}",
            rf"(?:(?:{H16}:){{0,5}}{H16})?::{H16}",
            rf"(?:(?:{H16}:){{0,6}}{H16})?::",
        ]
    )
)
GROUPS: Final = st.lists(
    st.sampled_from(["0", "12", "aF09", "", "", "12345", "g", "1.2.3.4", "192.0.2.255"]), max_size=9
)


@given(st.one_of(GROUPS.map(":".join), st.text("0a:.%", max_size=12)))
@example("1:2:3:4:5:6:7::")
@example("1:2:3:4:5:6::1.2.3.4")
def test_addresses_are_those_of_the_grammar(text: str) -> None:
    assert (refusal(f"[{text}]") == "") == (IP6.fullmatch(text) is not None)


# -- targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a%2fb?c=%2F&d/?", "/a%2fb?c=%2F&d/?"),
        ("//h/a", "//h/a"),
        ("/http://u@h/", "/http://u@h/"),
        ("/a@b:c", "/a@b:c"),
        ("http://h", ""),
        ("http://h?q@r", "?q@r"),
        ("HtTp://[::1]:80//a", "//a"),
        ("http://h:/a:b@c", "/a:b@c"),
    ],
)
def test_the_path_of_a_target(target: str, path: str) -> None:
    assert origin_form(target) == path
    for method in ("GET", "POST", "OPTIONS"):
        check_target(method, target)


@pytest.mark.parametrize(
    "target",
    [
        "", "a", "?a", "*", "h:80", "http:/h/", "http:h", "http:///a", "http://", "http://?a", "http://:80/",
        "ftp://h/", "http//h/", "xhttp://h/", " http://h/", "urn:a:b",
        "http://u@h/", "http://u:p@h/a", "http://@h/", "http://h@/", "http://h:x/", "http://a b/", "http://[::1/",
        "http://[::1]x/", "http://h\\@g/", "http://h\xfc/", "http://[::g]/", "https://u@h/",
        "/a#b", "/#", "http://h#a", "http://h/a#", "/%", "/a%2", "/%zz", "/a?%", "/%%41", "http://h/%1", "/%u0041",
    ],
)  # fmt: skip
def test_what_is_no_target(target: str) -> None:
    for method in ("GET", "HEAD", "BREW"):
        with pytest.raises(Refused) as caught:
            check_target(method, target)
        assert (caught.value.status, caught.value.why) == (400, f"bad target {target!a}")


def test_what_is_to_be_secured_is_not_served() -> None:
    for target in ("https://h/", "HTTPS://h:443/a"):
        with pytest.raises(Refused) as caught:
            origin_form(target)
        assert caught.value.status == 421


def test_two_methods_have_a_form_of_their_own() -> None:
    check_target("OPTIONS", "*")
    check_target("CONNECT", "h:443")
    check_target("CONNECT", "[::1]:443")
    for target in ("h", "h:", ":443", "*", "/", "http://h/", "u@h:443", "h:443/"):
        with pytest.raises(Refused) as caught:
            check_target("CONNECT", target)
        assert (caught.value.status, caught.value.why) == (400, f"bad target {target!a}")
