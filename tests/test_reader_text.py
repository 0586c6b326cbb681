"""Text: for every codec, way with errors, layout and length it is what str(bytes, encoding, errors) gives or raises."""

from __future__ import annotations

import codecs
import contextlib
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from encodings.aliases import aliases
from itertools import pairwise, product
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, TextError, copy_audit

PIECEWISE: Final = 65536
"""Bytes above which a text of several parts may be decoded in pieces."""

ENCODINGS: Final = sorted(
    {
        *aliases.values(),
        *("idna", "palmos", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_8_sig"),
        *("L1", "U8", "cp65001", "no such encoding", "UTF-16", "windows-1252"),
    }
)
"""All of the standard library's that are not Windows' own, some by other names; what is no text is among them."""

ERRORS: Final = (
    *("strict", "ignore", "replace", "backslashreplace", "surrogateescape", "surrogatepass", "xmlcharrefreplace"),
    *("namereplace", "tests.twice", "no such way"),
)

ALPHABET: Final = "ab-+~.\\{}\r\n\t &;é日本語한€\ufeff\ufffe\U0001d11e\u0301ｶ"
ESCAPES: Final = [b"+AGE-", b"\\u00e9", b"\\N{DASH}", b"\\x4", b"\x1b$B", b"\x1b(B", b"~{", b"~}", b"xn--", b"\xff\xfe"]


def twice(error: UnicodeError) -> tuple[str, int]:
    """Replace what is wrong, and read what is behind it once more: where that lies decides what comes out."""
    assert isinstance(error, UnicodeDecodeError)
    return f"<{error.start % 7}>", min(error.end, len(error.object))


codecs.register_error("tests.twice", twice)


def outcome(call: Callable[[], str]) -> tuple[object, ...]:
    """Return the text, or all that an error says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown escapes
        try:
            return ("text", call())
        except TextError as error:
            return (UnicodeDecodeError, error.encoding, bytes(error.object), error.start, error.end, error.reason)
        except (LookupError, TypeError, ValueError) as error:
            return (type(error), *(bytes(arg) if isinstance(arg, bytes | bytearray) else arg for arg in error.args))


def as_a_reader_says(expected: tuple[object, ...], encoding: str, raw: bytes) -> tuple[object, ...]:
    """Turn an error of a codec that does not say where into that of a text that is wrong as a whole."""
    kind, *arguments = expected
    if not isinstance(kind, type) or not issubclass(kind, UnicodeError) or issubclass(kind, UnicodeDecodeError):
        return expected
    return (UnicodeDecodeError, encoding, raw, 0, len(raw), str(kind(*arguments)))


def laid_out(raw: bytes, cuts: list[int]) -> CompositeBuffer:
    """Return the bytes in parts, of two kinds by turns."""
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    pieces = [raw[start:stop] for start, stop in pairwise(places)]
    return CompositeBuffer([bytearray(piece) if i % 3 == 2 else piece for i, piece in enumerate(pieces)])


def assert_the_same(raw: bytes, cuts: list[int], encoding: str, errors: str = "strict") -> None:
    b = laid_out(raw, cuts)
    assert outcome(lambda: b.decode(encoding, errors)) == outcome(lambda: str(raw, encoding, errors))
    if errors == "strict":
        expected = outcome(lambda: str(raw, encoding))
        r = b.reader()
        with copy_audit() as audit:
            assert outcome(lambda: r.text(len(raw), encoding)) == as_a_reader_says(expected, encoding, raw)
        assert r.position == (len(raw) if expected[0] == "text" else 0)
        assert audit.by_reason in ({}, {"text": len(raw)})


def encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding, "ignore")
    except (LookupError, UnicodeError):  # of what is no text, idna's labels
        return text.encode()


texts: Final = st.text(ALPHABET, max_size=40)
escapes: Final = st.lists(st.sampled_from(ESCAPES) | st.binary(max_size=3), max_size=8).map(b"".join)
some_cuts: Final = st.lists(st.integers(0, 1 << 20), max_size=6)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(texts, escapes | st.binary(max_size=40), some_cuts, st.sampled_from(ERRORS))
def test_text_in_any_layout_is_that_of_bytes(
    encoding: str, text: str, odd: bytes, cuts: list[int], errors: str
) -> None:
    valid = encoded(text, encoding)
    for raw in (valid, odd, valid + odd, valid[:-1]):
        assert_the_same(raw, cuts, encoding, errors)
        assert_the_same(raw, cuts, encoding)


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name not in {"idna", "punycode"}])
@given(texts, escapes, st.integers(0, 1 << 20), some_cuts, st.sampled_from(ERRORS))
def test_long_text_in_any_layout_is_that_of_bytes(
    encoding: str, text: str, odd: bytes, at: int, cuts: list[int], errors: str
) -> None:
    """Where it might be decoded in pieces; idna and punycode take time for that with the square of it."""
    valid = encoded((text or "-") * (2 * PIECEWISE // len(text or "-")), encoding)
    at %= len(valid) + 1
    for raw in (valid, valid[:at] + odd + valid[at:]):
        assert_the_same(raw, [*cuts, PIECEWISE - 1, PIECEWISE + 1], encoding, errors)
        assert_the_same(raw, [*cuts, PIECEWISE - 1, PIECEWISE + 1], encoding)


def test_ways_with_errors_are_taken_in_one_part_and_in_several_of_any_length() -> None:
    for raw in (b"ab\xffcd", b"ab\xff" * 5_000, b"ab\xff" * PIECEWISE):
        for cuts in ([], [2], [1, 3]):
            b = laid_out(raw, cuts)
            for errors in ERRORS[1:5]:
                assert b.decode("utf-8", errors) == str(raw, "utf-8", errors), (len(raw), cuts, errors)
            with pytest.raises(UnicodeDecodeError):
                b.decode("utf-8")


def test_text_of_no_bytes_is_what_it_is_of_bytes_wherever_it_stands() -> None:
    r = laid_out(b"x" * 2 * PIECEWISE, [5]).reader()
    for encoding in ("utf-8", "utf-16", "idna", "hex", "no such encoding"):
        for at in (0, 3, 5, PIECEWISE, 2 * PIECEWISE):
            r.seek(at)
            assert outcome(lambda: r.text(0, encoding)) == outcome(lambda: str(b"", encoding)), (encoding, at)  # noqa: B023


def test_long_text_that_ends_inside_a_character_is_as_wrong_as_short_text() -> None:
    raw = "é".encode() * PIECEWISE
    b = laid_out(raw[:-1], [70_000])
    with pytest.raises(UnicodeDecodeError) as error:
        b.decode()
    assert (error.value.start, error.value.reason) == (len(raw) - 2, "unexpected end of data")


def test_long_text_of_several_parts_is_never_joined() -> None:
    """Where all bytes were, there would be both them and the text. By whichever name its encoding is asked for."""
    names = ["utf-8", "U8", "windows-1252", "utf-16-le", "utf-32"]
    wholes = [(name, "x" * 1_000_000) for name in names]
    wholes.append(("utf-8", "x" * 5_000_000))
    wholes.append(("utf-8", "x" + "é" * 1_000_000))  # each block ends inside a character
    for (name, whole), drained in product(wholes, (0, 1 << 27)):  # far into a stream, too
        raw = whole.encode(name)
        b = CompositeBuffer([bytes(drained), laid_out(raw, [len(raw) // 2])])
        b.skip(drained)
        tracemalloc.start()
        try:
            text = b.decode(name)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert text == whole
        assert peak < 1.6 * len(whole), name  # a byte for each character, and some blocks


# -- codecs of programs' own ----------------------------------------------------------------------------------


@contextlib.contextmanager
def registered(codec: Any) -> Iterator[None]:
    def search(wanted: str) -> Any:
        return codec if wanted == "tests_own" else None

    codecs.register(search)
    try:
        yield
    finally:
        codecs.unregister(search)


def reversing(data: Any, errors: str = "strict", /) -> tuple[str, int]:
    """Decode from the end to the front, which no decoder of pieces can."""
    raw = bytes(data)
    if b"?" in raw:
        at = raw.index(b"?")
        raise UnicodeDecodeError("tests_own", raw, at, at + 1, "a question")
    return raw.decode("latin-1")[::-1], len(raw)


class Whole(codecs.BufferedIncrementalDecoder):
    """Decodes by ``reversing``, a piece at a time."""

    def _buffer_decode(self, data: Any, errors: str, final: bool) -> tuple[str, int]:
        return reversing(data, errors)


LATIN: Final = codecs.lookup("latin-1")

OWN: Final = {
    "without an incremental decoder": codecs.CodecInfo(codecs.latin_1_encode, reversing, name="tests_own"),
    "with one": codecs.CodecInfo(codecs.latin_1_encode, reversing, incrementaldecoder=Whole, name="tests_own"),
    "by another's name": codecs.CodecInfo(codecs.latin_1_encode, reversing, incrementaldecoder=Whole, name="utf-8"),
    "by another's name, without one": codecs.CodecInfo(codecs.latin_1_encode, reversing, name="utf-8"),
    "with another's": codecs.CodecInfo(
        codecs.latin_1_encode, reversing, incrementaldecoder=LATIN.incrementaldecoder, name="iso8859-1"
    ),
    "with another's by another's name": codecs.CodecInfo(
        codecs.latin_1_encode, reversing, incrementaldecoder=LATIN.incrementaldecoder, name="utf-8"
    ),
    "another's, in pieces of its own": codecs.CodecInfo(
        codecs.latin_1_encode, LATIN.decode, incrementaldecoder=Whole, name="iso8859-1"
    ),
    "a plain tuple": (codecs.latin_1_encode, reversing, None, None),
    "without a name": codecs.CodecInfo(codecs.latin_1_encode, reversing),
}


@pytest.mark.parametrize("size", [5, 5_000, PIECEWISE + 10, 3 * PIECEWISE])
def test_a_codec_of_a_program_s_own_is_given_all_at_once(size: int) -> None:
    for codec in OWN.values():
        assert_all_is_given_at_once(codec, size)


def assert_all_is_given_at_once(codec: Any, size: int) -> None:
    raw = bytes(range(64, 127)) * (size // 63 + 1)
    with registered(codec):
        for data in (raw, raw[: size // 2] + b"?" + raw):
            assert_the_same(data, [1, size // 3, size - 1], "tests_own")
            assert_the_same(data, [1, size // 3, size - 1], "tests_own", "replace")


def test_another_name_of_a_codec_makes_no_difference() -> None:
    """Looked up by it, a codec has methods that are bound to other objects."""
    for encoding in ("latin1", "L1", "iso-8859-1", "windows-1252", "us-ascii", "u8", "UTF8"):
        raw = bytes(range(32, 127)) * 2_000
        with copy_audit() as audit:
            assert laid_out(raw, [70_000]).decode(encoding) == raw.decode("ascii")
        assert audit.by_reason == {"decode": len(raw)}


def test_the_place_is_the_front_where_a_codec_shows_a_piece_of_its_own() -> None:
    """What "start" counts in is then not what was read."""

    def choosy(data: Any, errors: str = "strict", /) -> tuple[str, int]:
        raise UnicodeDecodeError("tests_own", bytes(data)[3:], 2, 3, "a piece")

    with registered(codecs.CodecInfo(codecs.latin_1_encode, choosy, name="tests_own")):
        r = laid_out(b"..abcdefgh", [4]).reader()
        r.skip(2)
        with pytest.raises(TextError) as caught:
            r.text(8, "tests_own")
    assert (caught.value.object, caught.value.start, caught.value.end) == (b"defgh", 2, 3)
    assert (caught.value.at, r.position) == (2, 2)
