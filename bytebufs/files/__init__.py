"""Files as parts of a message: ranges that are sent by reference, and files that are mapped.

               FileRegion                             MappedFile
holds          a descriptor of its own                a map
in memory      once somebody looks at its bytes       from the start
is flushed by  sendfile, by reference                 writev, which copies
the peer gets  what the file holds when it reads      what the file held when it was sent
a shrunk file  is an error at every look              is an error where a slice is cut or flushed
"""

from .mapped import Access, Advice, MappedFile, allocate
from .region import FileRegion

__all__ = ["Access", "Advice", "FileRegion", "MappedFile", "allocate"]
