"""Sending: the plan of what goes next (pure), the channels (one a kind of sink), and who drives them.

plan          which bytes of a message go next; knows no descriptor
channels      the calls by which each kind of sink takes them
flushing      flush: all of a message, blocking
outbox        Outbox: what is still to be sent, for sinks that take it bit by bit
transferring  transfer: from a file or descriptor to another, through no buffer of ours
"""

from .channels import Sender, Sink, Writer
from .flushing import flush
from .outbox import Outbox
from .transferring import Transferred, transfer

__all__ = ["Outbox", "Sender", "Sink", "Transferred", "Writer", "flush", "transfer"]
