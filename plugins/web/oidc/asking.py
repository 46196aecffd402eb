"""One request to the provider, within bounds of time and size: whoever answers there is doubted as anybody else is.

HTTP/1.1 by h11, which the page's server brings anyway; no redirect is followed, and nothing is kept between requests.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11

from gateway.plugin import GatewayError, cleaned, doubting, parse_json

PATIENCE = 10.0
"""Seconds for the whole of a request, from the name's look-up to the last byte."""
LONGEST = 256 * 1024
"""Bytes of an answer."""
HEAD = 32 * 1024
"""Bytes of its head."""


class ProviderError(GatewayError):
    """The provider cannot be reached, or says what it should not; in one sentence."""


async def ask(
    url: str,
    context: ssl.SSLContext,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """The status and the JSON of the answer, by GET, or with a form by POST. Raises ProviderError."""
    host = urlsplit(url).hostname or ""
    try:
        async with asyncio.timeout(PATIENCE):
            with doubting(lambda reason: ProviderError(f"the login provider {host}: {reason}")):
                status, data = await _exchanged(url, context, form, headers or {})
    except TimeoutError as error:
        raise ProviderError(f"the login provider {host} does not answer within {PATIENCE:g} s") from error
    try:
        return status, parse_json(data, size=LONGEST, depth=16)
    except ValueError:
        raise ProviderError(f"the login provider {host} answers {status}, and no JSON") from None


async def _exchanged(
    url: str, context: ssl.SSLContext, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if secure else 80), ssl=context if secure else None
        )
    except ssl.SSLCertVerificationError as error:
        raise ProviderError(
            f"the login provider {parts.hostname} is not trusted: {cleaned(error.verify_message)} (oidc: ca)"
        ) from error
    except (OSError, UnicodeError) as error:
        why = cleaned(getattr(error, "strerror", None) or error)
        raise ProviderError(f"the login provider {parts.hostname} cannot be reached: {why}") from error
    try:
        http = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=HEAD)
        writer.write(_request(http, url, form, headers))
        return await _answer(http, reader)
    except h11.RemoteProtocolError as error:
        raise ProviderError(f"the login provider {parts.hostname} does not speak HTTP/1.1") from error
    finally:
        writer.transport.abort()


def _request(http: h11.Connection, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body = urlencode(form).encode() if form is not None else b""
    all_ = {"host": parts.netloc, "accept": "application/json", "user-agent": "edge-gateway", "connection": "close"}
    if form is not None:
        all_ |= {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
    request = h11.Request(
        method="GET" if form is None else "POST", target=target, headers=[*{**all_, **headers}.items()]
    )
    sent = http.send(request) or b""
    if body:
        sent += http.send(h11.Data(data=body)) or b""
    return sent + (http.send(h11.EndOfMessage()) or b"")


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body, received = 0, bytearray(), 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65_536)
            received += len(data)
            if received > LONGEST + HEAD:
                raise ProviderError(f"the login provider answers with more than {LONGEST} bytes")
            http.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise ProviderError("the login provider closes before it has answered")
