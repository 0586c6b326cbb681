"""Make the captures in this directory: `python -m examples.captures.make_captures [DIR]`.

Needs nginx, curl and tcpdump, and the right to capture on the loopback device: be root, or give tcpdump the
capabilities CAP_NET_RAW and CAP_NET_ADMIN. Everything runs in a temporary directory, and every process that
is started here is ended here.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from examples.captures import _site
from examples.captures._derive import client_of, closed, conversations, mangled_pcapng
from examples.captures._frames import read_pcap
from examples.captures._lose import lossy_pcap
from examples.captures._manifest import Outcome, lossy_manifest, manifest
from examples.captures._site import PIPELINED, VISITS, Exchange, Visit

PACKAGES = {"nginx": "nginx", "curl": "curl", "tcpdump": "tcpdump"}  # program: the Debian package that has it
PATIENCE = 30.0  # seconds for any one step
LIMIT = 2 << 20  # bytes in the first capture, so that a clone stays small

Process = subprocess.Popen[bytes]


class CaptureError(Exception):
    """The captures cannot be made here; the message says why, and what to do."""


# Processes


def require_programs() -> None:
    """Raise `CaptureError` if a program is missing."""
    for program, package in PACKAGES.items():
        if shutil.which(program) is None:
            raise CaptureError(f"{program} is not on the PATH; on Debian: apt-get install {package}")


def version(program: str) -> str:
    """Return the first line in which a program tells its version."""
    option = "-v" if program == "nginx" else "--version"
    said = subprocess.run([program, option], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return (said.stdout or said.stderr).splitlines()[0].removeprefix("nginx version: ").split(" (")[0]


@contextmanager
def running(command: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes]) -> Iterator[Process]:
    """Start a process and end it: asked at first, then forced."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(ready: Callable[[], bool], process: Process, log: Path, what: str) -> None:
    """Return when `ready` says so; raise `CaptureError` with the log if the process or patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise CaptureError(f"{what} failed:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)


@contextmanager
def serving(directory: Path) -> Iterator[None]:
    """Run nginx on the configuration in `directory`."""
    log = directory / "error.log"
    command = ["nginx", "-p", f"{directory}/", "-e", str(log), "-c", str(directory / "nginx.conf")]
    with (directory / "nginx.out").open("wb") as out, running(command, stdout=out, stderr=out) as process:
        wait((directory / "nginx.pid").exists, process, log, "nginx")
        yield


@contextmanager
def capturing(directory: Path, *, port: int, clients: set[int]) -> Iterator[None]:
    """Run tcpdump until the connections of `clients`, which the caller fills meanwhile, are all closed."""
    capture, log = directory / "loopback.pcap", directory / "tcpdump.log"
    # Written as it comes (-U), from a buffer (-B, KiB) that holds the whole capture several times over.
    options = ["-n", "-i", "lo", "-U", "--immediate-mode", "-B", "16384", "-w", "-"]
    command = ["tcpdump", *options, f"tcp port {port}"]
    with (
        capture.open("wb") as out,
        log.open("wb") as err,
        running(command, stdout=out, stderr=err) as process,
    ):
        wait(lambda: b"listening on" in log.read_bytes(), process, log, "tcpdump")
        yield
        wait(lambda: closed_ports(capture) >= clients, process, log, "waiting for connections to close")
    if b"\n0 packets dropped by kernel" not in log.read_bytes():
        raise CaptureError(f"tcpdump lost packets; try again:\n{log.read_text()}")


def closed_ports(capture: Path) -> set[int]:
    """Return the clients' ports of the connections that a capture shows closed."""
    return {client_of(talk)[1] for talk in conversations(read_pcap(capture.read_bytes())) if closed(talk)}


# Visits


def run_curl(directory: Path, visit: Visit, *, port: int) -> list[Outcome]:
    """Run curl once and return what it saw, in the order in which it finished."""
    saved = Path(tempfile.mkdtemp(dir=directory))
    command = ["curl", "--disable", *(["--parallel", "--parallel-immediate"] if visit.parallel else [])]
    for number, exchange in enumerate(visit.exchanges):
        command += ["--next"] if number else []
        command += curl_options(directory, saved / str(number), exchange, number)
        command.append(f"http://{visit.host}:{port}{exchange.target}")
    piped = next((e.upload for e in visit.exchanges if e.stdin), None)
    with (directory / "root/files" / (piped or "empty.bin")).open("rb") as stdin:
        ran = subprocess.run(command, stdin=stdin, capture_output=True, timeout=PATIENCE, check=False)
    if ran.returncode:
        raise CaptureError(f"curl ended with {ran.returncode}: {ran.stderr.decode(errors='replace')}")
    return [outcome(visit, saved, line) for line in ran.stdout.splitlines()]


def curl_options(directory: Path, saved: Path, exchange: Exchange, number: int) -> list[str]:
    """Return curl's arguments for one exchange, all but the URL."""
    options = ["--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE), *exchange.options]
    options += ["--globoff", "--output", f"{saved}.body", "--dump-header", f"{saved}.head"]
    options += ["--write-out", f"{number} %{{json}}\n"]
    if exchange.upload is None:
        return options
    source = "-" if exchange.stdin else str(directory / "root/files" / exchange.upload)
    if exchange.method == "POST":
        return [*options, "--data-binary", f"@{source}", "--header", "Content-Type: application/octet-stream"]
    return [*options, "--upload-file", source]


def outcome(visit: Visit, saved: Path, line: bytes) -> Outcome:
    """Read one line of curl's report and the files that go with it."""
    number, _, report = line.partition(b" ")
    facts = json.loads(report)
    exchange = visit.exchanges[int(number)]
    path = saved / f"{int(number)}.body"
    # With --head curl saves the head where the body would go, and without a body it may save nothing.
    body = path.read_bytes() if path.exists() and exchange.method != "HEAD" else b""
    if facts["method"] != exchange.method or facts["size_download"] != len(body):
        raise CaptureError(f"curl reports {facts['method']}, {facts['size_download']} bytes, for {exchange}")
    return Outcome(exchange, facts["local_port"], (saved / f"{int(number)}.head").read_bytes(), body)


def run_pipelined(exchanges: Sequence[Exchange], *, port: int) -> list[Outcome]:
    """Send all requests at once, then read the responses, whose bodies are known beforehand."""
    requests = [f"{e.method} {e.target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n" for e in exchanges]
    requests[-1] += "Connection: close\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall("".join(request + "\r\n" for request in requests).encode())
        own = connection.getsockname()[1]
        with connection.makefile("rb") as stream:
            outcomes = [Outcome(exchange, own, *read_known(stream, exchange)) for exchange in exchanges]
            if stream.read():
                raise CaptureError("nginx sent more than the responses that were asked for")
    return outcomes


def read_known(stream: IO[bytes], exchange: Exchange) -> tuple[bytes, bytes]:
    """Read a head, and the body that it has to have."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.readline() or b"\r\n\r\n"
    expected = _site.contents()[re.split("[/?]", exchange.target)[2]]
    body = b"" if exchange.method == "HEAD" else stream.read(len(expected))
    if b"\r\nContent-Length: %d\r\n" % len(expected) not in head or body != expected[: len(body)]:
        raise CaptureError(f"not the response expected for {exchange}: {head!r}")
    return head, body


# All together


def record(directory: Path, *, port: int) -> tuple[bytes, list[Outcome]]:
    """Serve, visit and capture in an empty directory."""
    _site.build(directory, port=port)
    outcomes: list[Outcome] = []
    clients: set[int] = set()
    with serving(directory), capturing(directory, port=port, clients=clients):
        for visit in VISITS:
            outcomes += run_curl(directory, visit, port=port)
        for exchanges in PIPELINED:
            outcomes += run_pipelined(exchanges, port=port)
        clients |= {outcome.port for outcome in outcomes}
    capture = (directory / "loopback.pcap").read_bytes()
    if len(capture) > LIMIT:
        raise CaptureError(f"the capture has {len(capture)} bytes, more than {LIMIT}")
    return capture, outcomes


def write(target: Path, capture: bytes, outcomes: Sequence[Outcome]) -> None:
    """Write the three captures and their manifests."""
    lossy, holes = lossy_pcap(capture)
    made_with = {program: version(program) for program in PACKAGES}
    manifests = {
        "loopback.json": manifest(outcomes, capture, made_with=made_with),
        "lossy.json": lossy_manifest(outcomes, capture, holes),
    }
    (target / "loopback.pcap").write_bytes(capture)
    (target / "mangled.pcapng").write_bytes(mangled_pcapng(capture))
    (target / "lossy.pcap").write_bytes(lossy)
    for name, content in manifests.items():
        (target / name).write_text(json.dumps(content, indent=1) + "\n")


def main() -> int:
    """Make the captures."""
    parser = argparse.ArgumentParser(prog="make_captures", description="Make the captures in DIR.")
    parser.add_argument("directory", metavar="DIR", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--port", type=int, default=8080, help="of nginx on 127.0.0.1 and [::1], by default 8080")
    arguments = parser.parse_args()
    try:
        require_programs()
        with tempfile.TemporaryDirectory() as directory:
            capture, outcomes = record(Path(directory), port=arguments.port)
        arguments.directory.mkdir(parents=True, exist_ok=True)
        write(arguments.directory, capture, outcomes)
    except (CaptureError, OSError, ValueError, subprocess.SubprocessError) as error:
        print(f"make_captures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
