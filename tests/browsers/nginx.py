"""nginx as a reverse proxy: a process of our own, on loopback, with its defaults."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = """\
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    scgi_temp_path {home}/scgi;
    uwsgi_temp_path {home}/uwsgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
        }}
        location /zipped/ {{
            proxy_pass {upstream}/;
            gzip on;
            gzip_types text/event-stream;
        }}
        location /held/ {{
            proxy_pass {upstream}/;
            gzip on;
            gzip_types text/event-stream;
            proxy_ignore_headers X-Accel-Buffering;
        }}
    }}
}}
"""


class Nginx:
    """
    How to run it.

    Args:
        program: Where it is.
        home: A folder for what it writes.
    """

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home

    @contextmanager
    def before(self, upstream: str) -> Iterator[str]:
        """
        Run it before a server, with nothing set but where that is.

        Below ``/zipped/`` it compresses streams, and below ``/held/`` it does not hear that they are not to be held.
        """
        process, url = self._start(upstream)
        try:
            yield url
        finally:
            process.terminate()
            process.wait(10)

    def _start(self, upstream: str) -> tuple[subprocess.Popen[bytes], str]:
        for _ in range(5):  # somebody may have taken the port meanwhile
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port: int = free.getsockname()[1]
            config = self._home / "nginx.conf"
            config.write_text(CONFIG.format(home=self._home, port=port, upstream=upstream))
            process = subprocess.Popen([self._program, "-p", self._home, "-c", config, "-e", self._home / "error.log"])
            while process.poll() is None:
                if (self._home / "nginx.pid").exists():  # it listens
                    return process, f"http://127.0.0.1:{port}"
                time.sleep(0.01)
        raise AssertionError((self._home / "error.log").read_text())
