"""Who is let in: requests of the page itself, under the names of this machine."""

import asyncio

import pytest

pytest.importorskip("starlette")  # comes with gradio

from vlp_jax.showing.guard import POLICY, OnlyFromHere  # noqa: E402


async def page(scope, receive, send):
    """An application that answers everything with 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"pictures"})


def asked(headers: dict[str, str], alone: bool = True) -> tuple[int, dict]:
    """(status, headers) of the answer to a request with these headers."""
    sent = []

    async def send(message):
        sent.append(message)

    raw = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw}
    asyncio.run(OnlyFromHere(page, alone)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


OWN = ("127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST", "127.0.0.1")


@pytest.mark.parametrize("host", OWN)
def test_own_names(host):
    status, headers = asked({"Host": host})
    assert status == 200
    assert headers[b"content-security-policy"] == POLICY.encode()
    assert asked({"Host": host, "Origin": f"http://{host}"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example"},
        {"Host": "evil.example:7860", "Origin": "http://evil.example:7860"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1:7860", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:7860", "Origin": "http://127.0.0.1:8000"},
        {"Host": "127.0.0.1:7860", "Origin": "null"},
    ],
)
def test_others(headers):
    assert asked(headers)[0] == 403


def test_a_page_for_a_network_has_any_name_but_its_own_origin():
    there = {"Host": "pictures.lan:7860"}
    assert asked(there, alone=False)[0] == 200
    assert asked(there | {"Origin": "http://pictures.lan:7860"}, alone=False)[0] == 200
    assert asked(there | {"Origin": "http://evil.example"}, alone=False)[0] == 403
