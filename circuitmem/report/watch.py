"""The page of a run, served to this machine only, while the run goes on."""

from __future__ import annotations

import hashlib
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from circuitmem.errors import ValidationError
from circuitmem.report.run_page import draw_run_page, load_run_record

__all__ = ["RunServer"]

ADDRESS = "127.0.0.1"
_WATCHED = ("*.json", "state_*.npz", "trace_*")


class RunServer(ThreadingHTTPServer):
    """Serves a run's folder, and redraws its page whenever a file of the run has changed.

    Nothing outside the folder is served, not even through links, and only this machine is answered: the server listens
    on the loopback address, and refuses requests that name another host.

    Parameters
    ----------
    folder : path
        The run.
    port : int
        Where to listen, 0 to 65535; 0 takes a free port.

    Raises
    ------
    DataFileError
        If the folder is not a run.
    ValidationError
        If the port is taken or is not a port.
    """

    daemon_threads = True

    def __init__(self, folder: str | Path, port: int = 0) -> None:
        self.folder = Path(folder).resolve()
        load_run_record(self.folder)
        self._drawn: str | None = None
        self._lock = Lock()
        try:
            super().__init__((ADDRESS, port), partial(_Handler, directory=str(self.folder)))
        except (OSError, OverflowError) as error:
            raise ValidationError("port", f"must be free, 0 to 65535 ({error})", port) from None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a reader that closed the connection before the whole page was sent."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"

    def news(self) -> str:
        """Return a text that changes with the files of the run."""
        files = sorted(file for pattern in _WATCHED for file in self.folder.glob(pattern))
        stamps = [f"{file.name} {file.stat().st_mtime_ns} {file.stat().st_size}" for file in files if file.is_file()]
        return hashlib.sha256("\n".join(stamps).encode()).hexdigest()

    def refresh(self) -> None:
        """Draw the page if something has changed."""
        with self._lock:
            news = self.news()
            if news != self._drawn or not (self.folder / "report.html").is_file():
                draw_run_page(self.folder, news=news, figures=False)
                self._drawn = news


class _Handler(SimpleHTTPRequestHandler):
    server: RunServer

    def do_GET(self) -> None:
        """Answer with the page, with whether there is news, or with a file of the run."""
        if self._is_for_a_file():
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        if self._is_for_a_file():
            super().do_HEAD()

    def _is_for_a_file(self) -> bool:
        """Answer requests that are not for a file of the run; return whether a file is still to be sent."""
        if (self.headers.get("Host") or "").partition(":")[0] not in (ADDRESS, "localhost"):
            # DNS rebinding: with another name for this address, a foreign page could read the run.
            self.send_error(HTTPStatus.FORBIDDEN, "only this machine is answered")
            return False
        path = unquote(urlsplit(self.path).path)
        if path == "/news":
            content = self.server.news().encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            return False
        if path in ("/", "/report.html"):
            self.server.refresh()
            self.path = "/report.html"
        if "\0" in path:  # no file has it in its name
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        target = Path(self.translate_path(self.path)).resolve()
        if target.is_dir() or not target.is_relative_to(self.server.folder):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        return True

    def end_headers(self) -> None:
        """Forbid caching, because the page changes."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        """Keep the terminal quiet."""
