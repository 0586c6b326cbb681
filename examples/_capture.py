"""Where `read_packets` was before examples/http/ was there: for programs that look for it here."""

from .http.capture import CaptureError, Packet, read_packets

__all__ = ["CaptureError", "Packet", "read_packets"]
