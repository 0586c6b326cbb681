"""Receiving: memory to receive into (pool), and what has come as one buffer (inbox). No module here knows asyncio.

pool    Pool: blocks of memory, lent again once nothing shows them any more
inbox   Inbox: what one source has sent, received into a pool's blocks
"""

from .inbox import Inbox, Source
from .pool import Pool

__all__ = ["Inbox", "Pool", "Source"]
