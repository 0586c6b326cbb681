"""The one exception of the server: a request that gets an error, or a redirection, for an answer."""

from __future__ import annotations

from ..http.syntax import Field

__all__ = ["Refused"]


class Refused(Exception):
    """A status, fields that go with it, and why: a sentence for who reads the answer."""

    def __init__(self, status: int, *fields: Field, why: str = "") -> None:
        super().__init__(status, why)
        self.status = status
        self.fields = fields
        self.why = why
