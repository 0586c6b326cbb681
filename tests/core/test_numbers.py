"""bytebufs/_core/numbers.py: unsigned numbers, by whichever way the build takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs._core import numbers as _numbers
from bytebufs._core.numbers import COMPILED, uint, uint_in


@pytest.fixture(params=["as it is", "by hand"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Interpreted, take the way of the compiled build, too: it is the same source."""
    if request.param == "by hand" and not COMPILED:
        monkeypatch.setattr(_numbers, "COMPILED", True)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("little", [False, True])
@pytest.mark.parametrize("size", range(1, 9))
def test_it_is_the_number_that_int_gives(size: int, *, little: bool) -> None:
    @given(raw=st.binary(min_size=size, max_size=size), before=st.binary(max_size=3), after=st.binary(max_size=3))
    def check(raw: bytes, before: bytes, after: bytes) -> None:
        number = int.from_bytes(raw, "little" if little else "big")
        assert uint(before + raw + after, len(before), size, little=little) == number

    check()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("little", [False, True])
def test_eight_bytes_have_no_sign(*, little: bool) -> None:
    for number in (0, 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        raw = number.to_bytes(8, "little" if little else "big")
        assert uint(raw, 0, 8, little=little) == number


@pytest.mark.usefixtures("way")
def test_every_size_and_order_is_the_number_that_int_gives() -> None:
    raw = b"\xf1\x82\x03\xe4\x05\x96\x07\xb8\x49"
    view = memoryview(bytearray(raw))
    for size in range(1, 9):
        for at in (0, 1):
            for little in (False, True):
                number = int.from_bytes(raw[at : at + size], "little" if little else "big")
                assert uint(raw, at, size, little=little) == number
                assert uint_in(view, at, size, little=little) == number


def test_the_flag_tells_the_truth() -> None:
    assert hasattr(uint, "__code__") != COMPILED


@pytest.mark.parametrize("little", [False, True])
@pytest.mark.parametrize("size", range(1, 9))
def test_in_memory_that_is_not_bytes_it_is_the_same(size: int, *, little: bool) -> None:
    @given(raw=st.binary(min_size=size, max_size=size), before=st.binary(max_size=3), after=st.binary(max_size=3))
    def check(raw: bytes, before: bytes, after: bytes) -> None:
        view = memoryview(bytearray(before + raw + after)).toreadonly()
        number = int.from_bytes(raw, "little" if little else "big")
        assert uint_in(view, len(before), size, little=little) == number

    check()
