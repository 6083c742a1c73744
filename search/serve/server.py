"""Serves an exported folder over HTTP: `transfersweep serve`."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from contextlib import closing
from pathlib import Path

from search.export.facts import FolderFacts, read_facts
from search.serve.records import example
from trainable.errors import ConfigError

_MOST_CONNECTIONS = 64


def serve_folder(folder: Path, host: str, port: int) -> None:
    """Answer requests with an exported model until the process is told to end.

    Args:
        folder: a folder that `export_trial` wrote, of any format.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.

    Raises:
        ConfigError: if the folder is no such folder or is damaged, or the address cannot be used.
    """
    facts = read_facts(folder)
    with closing(_listen(host, port)) as listening:
        import uvicorn  # these import torch: only for a folder that exists and a port that is free

        from search.export.classifier import Classifier
        from search.serve.app import application

        app = application(facts, Classifier.load(folder, facts))
        print("\n".join(_lines(folder, facts, host, listening.getsockname()[1])), file=sys.stderr, flush=True)
        config = uvicorn.Config(app, log_level="warning", limit_concurrency=_MOST_CONNECTIONS)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        (family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host {host} --port {port}: cannot be used: {reason}; give others, or port 0") from None


def _lines(folder: Path, facts: FolderFacts, host: str, port: int) -> list[str]:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    body = shlex.quote(json.dumps({"rows": [example(facts)]}, ensure_ascii=False))
    return [
        f"{folder} answers on {address}, described on {address}/docs (end with Ctrl-C). Try it:",
        f"  curl {address}/predict -H 'Content-Type: application/json' -d {body}",
    ]
