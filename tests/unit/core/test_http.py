"""What became of a request, in one word."""

from __future__ import annotations

import socket

from ansible_collections.daily_emr.ops.plugins.module_utils._http import probe


def test_a_port_that_is_closed_refuses() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = probe(f"http://127.0.0.1:{unused.getsockname()[1]}", "/", timeout_s=5)
    assert (answer.status, answer.failure) == (None, "refused")


def test_a_server_that_says_nothing_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        answer = probe(f"http://127.0.0.1:{silent.getsockname()[1]}", "/", timeout_s=0.2)
    assert (answer.status, answer.failure) == (None, "timeout")
