"""A web server of a folder, with Range requests, in a process of its own.

GDAL keeps Python's lock while it waits: a thread of the same process could never answer.
The same files are there as S3 objects of one bucket, in path style. While the folder has a file
`broken`, requests for bytes past the number in it fail. A file `fault` with a word and a number
spoils as many requests for bytes: `error 2` (code 500), `slow 2` (a byte per second), `cut 2`
(the connection ends after half of the bytes).
"""

import re
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

COUNTING = Lock()
ROOT = Path(sys.argv[1])
BUCKET = "bucket/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        file = ROOT / self.path.partition("?")[0].lstrip("/").removeprefix(BUCKET)
        if not file.is_file():
            self.reply(404, b"", {}, with_body=False)
            return
        content = file.read_bytes()
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None:
            self.reply(200, content, {}, with_body=with_body)
            return
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        broken = ROOT / "broken"
        if broken.exists() and last >= int(broken.read_text()):
            self.reply(500, b"", {}, with_body=False)
            return
        fault = take_fault()
        if fault == "error":
            self.reply(500, b"", {}, with_body=False)
            return
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.reply(206, content[first : last + 1], where, with_body=with_body, fault=fault)

    def reply(self, code, content, headers, *, with_body, fault=None):
        self.send_response(code)
        for name, value in {"Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        elif fault == "slow":
            with suppress(OSError):
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    time.sleep(1)
            self.close_connection = True
        elif with_body:
            self.wfile.write(content)


def take_fault():
    """What is to go wrong now, if anything: one less is left."""
    with COUNTING:
        file = ROOT / "fault"
        if not file.exists():
            return None
        word, left = file.read_text().split()
        if left == "0":
            return None
        file.write_text(f"{word} {int(left) - 1}")
        return word


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
