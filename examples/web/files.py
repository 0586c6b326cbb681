"""From the target of a request to a file below the served folder, and never to one outside of it."""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
import time
from contextlib import ExitStack
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path, PurePosixPath
from typing import Final, final
from urllib.parse import quote, unquote_to_bytes

from bytebufs import FileRegion

from .refused import Refused
from .target import origin_form

__all__ = ["Resource", "Site"]

INDEX: Final = "index.html"
UNKNOWN: Final = "application/octet-stream"

# The built-in table alone: the answer does not depend on what else is installed.
_TYPES: Final = mimetypes.MimeTypes().types_map[True]
_STATUS_OF: Final = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG), 404),
    **dict.fromkeys((errno.EACCES, errno.EPERM), 403),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM), 503),
}


@dataclass(slots=True)
class Resource:
    """A file to send, as it was when it was opened."""

    region: FileRegion
    type: str
    modified: int
    """Seconds since the epoch: no finer can it be said in HTTP."""
    etag: str

    @property
    def last_modified(self) -> str:
        """The time of the last change, as a date of HTTP."""
        return formatdate(self.modified, usegmt=True)


@final
class Site:
    """A folder that is served. Links are followed as long as they lead to files below it; dotfiles are not there.

    Linux only: what a descriptor leads to is asked of /proc.
    """

    def __init__(self, folder: str | os.PathLike[str], *, stable: bool = False) -> None:
        """Open the folder: what is later put at its path is not served. ``stable``: as of FileRegion."""
        self.fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._root = _path_of(self.fd).rstrip("/") + "/"
        self._stable = stable

    def close(self) -> None:
        """Close the folder."""
        os.close(self.fd)

    def open(self, target: str) -> Resource:
        """Open what a request's target names, a folder's index.html if that is one. Raises Refused, also to redirect.

        The descriptor is a path's first, on which nothing happens, and is asked where it leads. What passes is opened
        through it, so that nobody can put a link in its place meanwhile.
        """
        path, question, query = origin_form(target).partition("?")
        segments = _segments(path)
        try:
            with ExitStack() as stack:
                place = self._find("/".join(segments) or ".", self.fd, stack)
                if stat.S_ISDIR(os.fstat(place).st_mode):
                    if not path.endswith("/") and path:
                        # From what was understood: "//host" in front of it would lead to another server.
                        location = f"/{quote('/'.join(segments), errors='surrogateescape')}/{question}{query}"
                        raise Refused(301, ("Location", location))
                    segments.append(INDEX)
                    place = self._find(INDEX, place, stack)
                elif path.endswith("/"):
                    raise Refused(404)
                if not stat.S_ISREG(os.fstat(place).st_mode):
                    raise Refused(404)  # folders called index.html, pipes and devices
                fd = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, fd)
                return self._resource(fd, segments[-1])
        except OSError as error:
            raise Refused(_STATUS_OF.get(error.errno or 0, 500)) from error

    def _find(self, path: str, folder: int, stack: ExitStack) -> int:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=folder)
        stack.callback(os.close, fd)
        if not f"{_path_of(fd)}/".startswith(self._root):
            raise Refused(404)
        return fd

    def _resource(self, fd: int, name: str) -> Resource:
        status = os.fstat(fd)
        kind = _TYPES.get(PurePosixPath(name).suffix.lower(), UNKNOWN)
        # Size and two times make the tag: that of the content, and that of the inode, which nobody can set. So a file
        # that is put in another's place, with its size and time, has another tag: cp -p, rsync and tar do that. The
        # inode's number would do, too, but tells about the machine what is nobody's business (CVE-2003-1418). What
        # was changed in this second may change again and look the same: a weak validator (RFC 9110, section 8.8.1).
        now = time.time()
        weak = "W/" if now - status.st_mtime < 1 else ""
        return Resource(
            FileRegion(fd, 0, status.st_size, stable=self._stable),
            f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            # A date to come may not be told (RFC 9110, section 8.8.2.1), and a far past one cannot.
            max(0, min(status.st_mtime_ns // 10**9, int(now))),
            f'{weak}"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"',
        )


def _path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def _segments(path: str) -> list[str]:
    """Return the names in a path. Each is decoded by itself, once: an encoded slash separates nothing."""
    names = [os.fsdecode(unquote_to_bytes(part.encode("latin-1"))) for part in path.split("/") if part]
    if any("\0" in name for name in names):
        raise Refused(400)
    if any("/" in name or (name.startswith(".") and name != ".well-known") for name in names):
        raise Refused(404)  # with that also "..", however it is written
    return names
