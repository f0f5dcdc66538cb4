"""A proxy that serves a gateway below a path of its own, which it cuts off and does not tell the gateway."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PREFIX = "/mfa"
OWN_HEADERS = ("transfer-encoding", "connection", "date", "server")


@contextmanager
def below_a_path(url: str) -> Iterator[str]:
    """The address below which the gateway at `url` is served."""
    target = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with closing(HTTPConnection(target, timeout=30)) as gateway, suppress(OSError, HTTPException):
                self.exchange(gateway, body)

        def exchange(self, gateway: HTTPConnection, body: bytes) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            gateway.request(self.command, self.path.removeprefix(PREFIX), body, headers)
            answer = gateway.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in OWN_HEADERS:
                    self.send_header(name, value)
            self.end_headers()
            while chunk := answer.read1(65536):
                self.wfile.write(chunk)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = forward

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
