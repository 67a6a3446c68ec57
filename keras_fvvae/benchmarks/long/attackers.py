"""Attacks on a server, all at once, until standard input ends; then how often each was made and the time of the
processor that they took, as JSON.

    python -m keras_fvvae.benchmarks.long.attackers [--nice N] URL [NAME ...]

A process of its own, and without TensorFlow: `keras_fvvae.benchmarks.long.attacks` starts it.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from PIL import Image

from keras_fvvae.benchmarks.harness.request_bodies import body_of

NAME = "birds"
PATH = f"/v1/models/{NAME}:predict"
PATIENCE = 60.0
# Connections of each kind that sends nothing further; the server takes 1,024 in all.
SILENT = 400
SCANS = 40_000


def main() -> None:
    """Attacks until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the server")
    parser.add_argument("names", nargs="*", help="of the attacks; by default all")
    parser.add_argument("--nice", type=int, default=0, help="priority lower than the caller's by so much")
    arguments = parser.parse_args()
    os.nice(arguments.nice)
    counts: dict[str, int] = {}

    def repeat(name, attack):
        for count in itertools.count(1):
            with contextlib.suppress(requests.RequestException, OSError):
                attack()
            counts[name] = count

    for name, attack in attacks(arguments.url).items():
        if not arguments.names or name in arguments.names:
            threading.Thread(target=repeat, args=(name, attack), daemon=True).start()
    sys.stdin.read()
    print(json.dumps({"attacks": counts, "attackers_cpu_s": time.process_time()}), flush=True)


def attacks(url: str) -> dict[str, Callable[[], None]]:
    """Dictionary from a name to a function that attacks once."""

    def posting(body):
        return lambda: requests.post(url + PATH, data=body, timeout=PATIENCE)

    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    promise = head % (PATH.encode(), 64 << 20)
    largest = _encode(8)
    return {
        "answers of half a gigabyte": posting(_encode(64)),
        "the largest answers": posting(largest),
        "scans": posting(body_of([_many_scans()])),
        "JSON of numbers": posting(b'{"instances": [' + b"1," * 2_000_000 + b"1]}"),
        "nothing": _holder(url, b"", SILENT, 0.05),
        "half a header": _holder(url, promise[:20], SILENT, 0.05),
        "half a body": _holder(url, promise + b"{", SILENT, 0.05),
        "promises of 64 MiB": _holder(url, promise, SILENT, 0.05),
        "answers not read": _holder(url, head % (PATH.encode(), len(largest)) + largest, 4, 5.0),
    }


def _encode(count):
    """A request for the vectors of so many tiny images."""
    tiny = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(tiny, "PNG")
    return body_of([tiny.getvalue()] * count, signature_name="encode")


def _holder(url: str, sent: bytes, most: int, seconds: float) -> Callable[[], None]:
    """Opens one more connection every so many seconds, sends that, and holds it; of more the oldest is closed."""
    address, held = urlsplit(url), []

    def attack():
        held.append(socket.create_connection((address.hostname, address.port), timeout=PATIENCE))
        held[-1].sendall(sent)
        if len(held) > most:
            held.pop(0).close()
        time.sleep(seconds)

    return attack


def _many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    written = io.BytesIO()
    Image.new("RGB", (1024, 1024), "gray").save(written, "JPEG", progressive=True)
    content = written.getvalue()
    last = max(match.start() for match in re.finditer(rb"\xff\xda", content))
    return content[:-2] + content[last:-2] * SCANS + content[-2:]


if __name__ == "__main__":
    main()
