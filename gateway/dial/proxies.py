"""Asks a proxy for a connection. What it answers is read byte by byte, within bounds: what comes behind is the far side's."""

import asyncio
import base64
import ipaddress
import socket

from gateway.core.text import cleaned
from gateway.dial.route import ProxyOptions, shown

LONGEST = 16 * 1024
"""Bytes of an answer."""

_SOCKS_REASONS = {
    1: "it could not, and does not say why",
    2: "its rules forbid it: allow {target} there",
    3: "it has no route to the network",
    4: "it does not reach the host, or does not know its name",
    5: "nothing listens there (connection refused)",
    6: "the host is too far away",
    7: "it makes no connections",
    8: "it does not take such an address",
}
_FORBIDDEN = 2
_NAMES = {"http": "HTTP", "socks5": "SOCKS 5"}


class ProxyError(OSError):
    """The proxy made no connection."""

    def __init__(self, words: str, *, person: bool = False) -> None:
        """`person`: somebody has to act."""
        super().__init__(words)
        self.person = person


async def ask_proxy(sock: socket.socket, proxy: ProxyOptions, host: str, port: int) -> None:
    """Have what is connected to the proxy become a connection to the far side. Raises ProxyError, or OSError."""
    try:
        await (_connect if proxy.kind == "http" else _socks5)(sock, proxy, host, port)
    except UnicodeError as error:
        raise ProxyError(f'proxy {proxy}: "{host}" cannot be asked for: it is no name', person=True) from error
    except ConnectionError as error:
        raise ProxyError(f"proxy {proxy} closed the connection: does it speak {_NAMES[proxy.kind]}?") from error


async def _connect(sock: socket.socket, proxy: ProxyOptions, host: str, port: int) -> None:
    target = shown(_ascii(host), port)
    request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        request += f"Proxy-Authorization: Basic {login}\r\n"
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, f"{request}\r\n".encode())
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        head += await _exactly(sock, 1)
        if len(head) > LONGEST or (len(head) >= 5 and not head.startswith(b"HTTP/")):
            raise ProxyError(f"proxy {proxy} answers something that is no HTTP: does it speak SOCKS 5?", person=True)
    status, _, reason = bytes(head).partition(b"\r\n")[0].partition(b" ")[2].decode("latin-1").partition(" ")
    if status[:1] != "2":
        raise _refusal(proxy, target, status, cleaned(f"{status} {reason}", 100))


def _refusal(proxy: ProxyOptions, target: str, status: str, said: str) -> ProxyError:
    if status == "407":
        fix = "it does not accept user and password" if proxy.user else "it wants them: proxy = { user, password }"
        return ProxyError(f"proxy {proxy} refuses us ({said}): {fix}", person=True)
    if status in ("401", "403", "405"):
        return ProxyError(f"proxy {proxy} refuses {target} ({said}): allow it there", person=True)
    return ProxyError(f"proxy {proxy} does not reach {target} ({said})")


async def _socks5(sock: socket.socket, proxy: ProxyOptions, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\5\2\0\2" if proxy.user else b"\5\1\0")
    version, method = await _exactly(sock, 2)
    if version != 5:
        raise ProxyError(f"proxy {proxy} does not speak SOCKS 5: does it speak HTTP?", person=True)
    if method == 2 and proxy.user:
        await _log_in(sock, proxy)
    elif method:
        fix = "it takes no user and password" if proxy.user else "it wants a login: proxy = { user, password }"
        raise ProxyError(f"proxy {proxy} refuses us: {fix}", person=True)
    await loop.sock_sendall(sock, b"\5\1\0" + _packed(host) + port.to_bytes(2, "big"))
    version, reply, _, kind = await _exactly(sock, 4)
    if version != 5 or kind not in (1, 3, 4):
        raise ProxyError(f"proxy {proxy} answers something that is no SOCKS 5", person=True)
    if reply:
        target = shown(host, port)
        why = _SOCKS_REASONS.get(reply, f"code {reply}").format(target=target)
        raise ProxyError(f"proxy {proxy} does not connect us with {target}: {why}", person=reply == _FORBIDDEN)
    await _exactly(sock, {1: 4, 4: 16}.get(kind) or (await _exactly(sock, 1))[0])
    await _exactly(sock, 2)


async def _log_in(sock: socket.socket, proxy: ProxyOptions) -> None:
    """As RFC 1929 has it."""
    user, password = proxy.user.encode(), proxy.password.encode()
    if max(len(user), len(password)) > 255:
        raise ProxyError(f"proxy {proxy}: user and password must have at most 255 bytes", person=True)
    login = b"\1" + bytes([len(user)]) + user + bytes([len(password)]) + password
    await asyncio.get_running_loop().sock_sendall(sock, login)
    if (await _exactly(sock, 2))[1]:
        raise ProxyError(f"proxy {proxy} does not accept user and password", person=True)


def _packed(host: str) -> bytes:
    """An address, or a name that the proxy looks up (RFC 1928 section 5)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = _ascii(host).encode()
        return b"\3" + bytes([len(name)]) + name
    return (b"\1" if address.version == 4 else b"\4") + address.packed


def _ascii(host: str) -> str:
    return host if host.isascii() and len(host) < 256 else host.encode("idna").decode()


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        if not (more := await loop.sock_recv(sock, size - len(data))):
            raise ConnectionResetError
        data += more
    return data
