"""cat, from channel to channel: files, pipes and sockets to standard output, whatever that is.

    python -m examples.cat [-v] [FILE...]

"-" is standard input, and so is no FILE at all. With -v each file's bytes, and the call that moved them, go to standard
error. Where the kernel can move them they never enter the process; a file goes up to the end that it had when its turn
came. As cat does: what cannot be read is reported and passed over, and the status is then 1; a file that is the
output, too, is refused; who reads from a pipe and goes away ends the program without a word (SIGPIPE).
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from bytebufs import Transferred, transfer

__all__ = ["OutputError", "cat", "main"]

STDIN: Final = 0
STDOUT: Final = 1

# What a call that reads and writes at once says only of the end that it writes to.
_OF_THE_OUTPUT: Final = frozenset([errno.EPIPE, errno.ECONNRESET, errno.ENOSPC, errno.EDQUOT, errno.EFBIG])


class OutputError(Exception):
    """Nothing more can be written: there is no use in going on with the next file."""


def cat(name: str, output: int) -> Transferred:
    """Move a file to a descriptor, "-" from where it stands. Raises OSError of the file, OutputError of the output."""
    with ExitStack() as stack:
        if name == "-":
            source = STDIN
        else:
            source = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, source)
        status = os.fstat(source)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        start = os.lseek(source, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
        if start and start >= status.st_size:
            return Transferred(0, "nothing")
        if status.st_size and _is_same(status, output):
            raise OSError("input file is output file")  # it would grow for ever
        try:
            moved = transfer(source, output, start)
        except OSError as error:
            if error.errno in _OF_THE_OUTPUT:
                raise OutputError(_reason(error)) from error
            raise
        if stat.S_ISREG(status.st_mode):
            os.lseek(source, start + moved.nbytes, os.SEEK_SET)  # whoever shares standard input goes on behind it
        return moved


def _is_same(status: os.stat_result, output: int) -> bool:
    return stat.S_ISREG(status.st_mode) and os.path.samestat(status, os.fstat(output))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


class _Options(argparse.Namespace):
    files: list[str]
    verbose: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    parser = argparse.ArgumentParser(prog="cat", description="Write files to standard output, by the kernel alone.")
    parser.add_argument("files", nargs="*", metavar="FILE", help='"-" is standard input')
    parser.add_argument("-v", "--verbose", action="store_true", help="tell how each went, on standard error")
    options = parser.parse_args(arguments, _Options())
    try:
        os.fstat(STDOUT)
        return _run(options)
    except OutputError as error:
        return _complain(f"write error: {error}")
    except OSError as error:
        return _complain(f"standard output: {_reason(error)}")


def _run(options: _Options) -> int:
    result = 0
    for name in options.files or ["-"]:
        try:
            moved = cat(name, STDOUT)
        except OSError as error:
            result = _complain(f"{name}: {_reason(error)}")
        else:
            if options.verbose:
                print(f"cat: {name}: {moved.nbytes} bytes by {moved.how}", file=sys.stderr)
    return result


def _complain(text: str) -> int:
    print(f"cat: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores
    sys.exit(main())
