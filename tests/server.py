"""A web server of a folder, with Range requests, in a process of its own.

GDAL keeps Python's lock while it waits: a thread of the same process could never answer.
The same files are there as S3 objects of one bucket, in path style. While the folder has a file
`broken`, requests for bytes past the number in it fail.
"""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.reply(206, content[first : last + 1], where, with_body=with_body)

    def reply(self, code, content, headers, *, with_body):
        self.send_response(code)
        for name, value in {"Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
