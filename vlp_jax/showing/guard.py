"""What the page's server lets in, and what it tells browsers to leave out."""

from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

OWN_NAMES = ("localhost", "127.0.0.1", "::1")
# What a browser may load: this page's own, and pictures that stand in it.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'"
)


class OnlyFromHere:
    """Nothing to and from pages of others (an ASGI middleware).

    Browsers are told to load nothing from other machines. What another page sends is
    refused, and so is, at an address of this machine alone, another name for it, by
    which such a page could read the answers (DNS rebinding).
    """

    def __init__(self, app, alone: bool):
        self.app, self.alone = app, alone

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan" and not self._is_ours(dict(scope["headers"])):
            await PlainTextResponse("from elsewhere", 403)(scope, receive, send)
            return

        async def with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message = message | {"headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self.app(scope, receive, with_policy)

    def _is_ours(self, headers: dict[bytes, bytes]) -> bool:
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc != host:
            return False
        return not self.alone or (urlsplit(f"//{host}").hostname or "") in OWN_NAMES
