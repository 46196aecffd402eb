"""One secure channel, and the session that it carries: made once, never repaired.

The library's own `connect` is not used: it starts a reconnecting supervisor and a probe that reads every second. Here the
feed watches the age of the last publish answer instead, and the gateway dials anew. A session outlives its channel on the
server, so the next channel continues it by its ticket (OPC 10000-4 §6.7): nothing of what the server collected is lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import BadNotImplemented, BadServiceUnsupported, BadTooManyOperations

from gateway.plugin import Found, LinkError, RefusedError, cleaned, contained

from ..address import Address, NamePath
from ..config import OpcUaConfig
from ..values.bounds import decoded_beside
from ..values.structures import Types
from .certificate import ApplicationIdentity
from .creation import create_session
from .errors import SIZES, agreeing, in_words, name_of
from .profile import DISPENSABLE, profile_of
from .protection import Protection, check_password, load_user, look_at_endpoints, protect
from .publishing import Publishing
from .suspicion import suspicion_in
from .transport import BoundedProtocol

CHANNEL_LIFETIME = 3600.0
RENEW_AT = 0.75
"""Part of its lifetime after which a channel's token is renewed."""
GOODBYE = 1.0
"""Seconds that the server has to end a session."""
MOST_NAMESPACES = 10_000
SOONEST_RENEWAL = 1.0
"""Seconds between two tokens at least, whatever lifetime the server grants."""
SHORTEST_SESSION, LONGEST_SESSION = 1.0, 86_400.0
"""Seconds; what a server grants beyond is taken for these."""

_STATE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
_NAMESPACES = ua.NodeId(2255)
_MAX_NODES_PER_READ = ua.NodeId(11705)
_MAX_NODES_PER_BROWSE = ua.NodeId(11710)
_MAX_NODES_PER_TRANSLATE = ua.NodeId(11712)
_MAX_ITEMS_PER_CALL = ua.NodeId(11714)
_LIMITS = {
    "read": _MAX_NODES_PER_READ,
    "browse": _MAX_NODES_PER_BROWSE,
    "translate": _MAX_NODES_PER_TRANSLATE,
    "subscribe": _MAX_ITEMS_PER_CALL,
}

_INTERNALS = {"_request_id", "_callbackmap", "_connection"}
"""What the short way for encoded requests needs of the library's protocol object."""

R = TypeVar("R")

# What the library has to say reaches people through our own errors; its log would tell it a second time, in its own words.
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What it takes to continue a session over another channel."""

    token: ua.NodeId
    nonce: bytes | None
    certificate: bytes | None
    login: Any
    """The kinds of login that the server offered."""
    granted: float


class OpcUaSession:
    """An activated session. All errors of its methods are LinkError or RefusedError."""

    def __init__(
        self,
        config: OpcUaConfig,
        identity: ApplicationIdentity | None,
        pki: Path = Path(),
        memory: dict[str, Any] | None = None,
    ) -> None:
        """`pki` holds the certificates that people have accepted, and keeps those that wait for them; `memory` is the
        line's."""
        self.config = config
        self.identity = identity
        self._pki = pki
        self.continued = False
        """Whether it is the session of a ticket; else a new one."""
        self.continuing = False
        """Whether the server was asked to go on with it."""
        self.protection = Protection()
        self.namespaces: list[str] = []
        self.ways: dict[NamePath, ua.NodeId | str] = {}
        """Path of names → its node, or why it leads to none."""
        self.types = Types()
        """What the server has told of data types of its own."""
        self.profile = profile_of(config.url)
        self.limits = self.profile.limits
        self.granted = LONGEST_SESSION
        """Seconds after which the server ends a session that it has heard nothing of."""
        self.keeps_nothing = False
        """Whether the server does not answer when it is asked for messages once more."""
        self.makes_items = False
        """Whether the server has made monitored items, or taken a request for them at least."""
        self.tells_no_more = False
        """Whether the server did not answer when it was asked to describe nodes."""
        self.suspicion = suspicion_in({} if memory is None else memory)
        """What the server does not bear to be asked for."""
        self.described: Mapping[str, Found] = {}
        """Name of each tag → what the server told of it at the connect."""
        self.renew_at = 0.0
        """Loop time at which the channel's token wants to be renewed."""
        self._client = self._new_client()
        self.publishing = Publishing(self._publish)

    @property
    def certificate(self) -> str:
        """Where the gateway's certificate lies, for messages."""
        return str(self.identity.path) if self.identity else "(none in use)"

    @property
    def surplus(self) -> int:
        """Answers that came twice, or that nobody had asked for."""
        return getattr(self._client.uaclient.protocol, "surplus", 0)

    @property
    def remarks(self) -> list[str]:
        """For `status`: what a person should know of the connection though it works."""
        twice = f"the server has sent {self.surplus} answers twice, or unasked: they are passed over"
        return [*self.protection.remarks, *([twice] if self.surplus else []), *self.suspicion.remarks]

    def _new_client(self) -> Client:
        client = Client(self.config.url, timeout=self.config.timeout)
        client.name = "edge-gateway"
        client.description = f"edge-gateway {self.config.name}"
        client.session_timeout = int(max(self.config.hold, 3 * self.config.scan) * 1000)
        client.secure_channel_timeout = int(CHANNEL_LIFETIME * 1000)
        if self.identity:
            client.application_uri = self.identity.uri
        client.uaclient._make_protocol = partial(bounded, client.uaclient)
        return client

    async def open(self, password: str, ticket: Ticket | None = None) -> None:
        """Connect, and continue the session of the ticket where the server still has it; else log in. Leaves nothing open
        when it fails."""
        with in_words(f"connecting to {self.config.url}", self.certificate):
            if self.identity:
                endpoints = await contained(look_at_endpoints(self._new_client()))
                self.protection = await protect(self._client, endpoints, self.config, self.identity, self._pki)
            await load_user(self._client, self.config)
            new = False
            try:
                await self._connect_channel()
                self._plan_renewal()
                self.continued = ticket is not None and await self._continue(ticket, password)
                if not self.continued:
                    new = True
                    await self._log_in(password)
                self._protocol().trust()
                await self._learn()
            except BaseException:
                await self.close(goodbye=new)
                raise

    @property
    def ticket(self) -> Ticket:
        """What another channel needs to continue this session."""
        client = self._client
        token = client.uaclient.session.authentication_token
        shown = client.security_policy.peer_certificate
        return Ticket(token, client._server_nonce, shown, client._policy_ids, self.granted)

    async def _continue(self, ticket: Ticket, password: str) -> bool:
        self.continuing = True
        client = self._client
        client.uaclient.session.restore_authentication_token(ticket.token)
        client._server_nonce, client._policy_ids = ticket.nonce, ticket.login
        if self.identity is None:
            client.security_policy.peer_certificate = ticket.certificate
        try:
            await self._activate(password)
        except ua.UaStatusCodeError:
            client.uaclient.session.reset_authentication_token()
            client._server_nonce = None
            if self.identity is None:
                client.security_policy.peer_certificate = None
            return False
        self.granted = ticket.granted
        return True

    async def _log_in(self, password: str) -> None:
        granted = await create_session(self._client)
        if granted > 0:  # neither none nor no number
            self.granted = min(max(SHORTEST_SESSION, granted), LONGEST_SESSION)
        check_password(self._client, self.config, password)
        await self._activate(password)

    async def _activate(self, password: str) -> None:
        await contained(
            self._client.activate_session(self.config.user, password or None, self._client.user_certificate)
        )

    async def _connect_channel(self) -> None:
        try:
            for step in (self._client.connect_socket, self._client.send_hello, self._client.open_secure_channel):
                await contained(step())
        except AssertionError as error:  # so the library reports that the server refused to open the channel
            trust = f"most likely it does not trust the gateway's certificate: let it trust {self.certificate}"
            unprotected = 'it may not allow security = "none"'
            raise RefusedError(f"the server refused the channel; {trust if self.identity else unprotected}") from error

    async def _learn(self) -> None:
        """Read the namespaces, whose order may change with every start of the server, and the server's limits."""

        answers = await self.in_chunks("read", [_NAMESPACES, *_LIMITS.values()], self._read)
        namespaces, *limits = [each.Value.Value if each.Value is not None else None for each in answers]
        self._name(namespaces)
        for name, told in zip(_LIMITS, limits, strict=True):
            if isinstance(told, int) and told > 0:
                self.limits[name] = min(self.limits[name], told)

    async def _read(self, nodes: Sequence[ua.NodeId]) -> Sequence[ua.DataValue]:
        return list((await self.request(_ask_for(nodes), ua.ReadResponse)).Results)

    async def learn_namespaces(self) -> None:
        """Read them again: a server that starts has not all of them at once."""
        with in_words("reading namespaces", self.certificate):
            (told,) = agreeing(1, await self._read([_NAMESPACES]))
        if told.Value is not None and isinstance(told.Value.Value, list):
            self._name(told.Value.Value)

    def _name(self, namespaces: Any) -> None:
        uris = namespaces if isinstance(namespaces, list) else []
        self.namespaces = [cleaned(uri) for uri in uris[:MOST_NAMESPACES]]

    def node_id(self, address: Address | NamePath) -> ua.NodeId | None:
        """The node id that an address means in this session; None when the server has no such namespace, or nothing there."""
        if isinstance(address, NamePath):
            found = self.ways.get(address)
            return found if isinstance(found, ua.NodeId) else None
        namespace = address.namespace
        if isinstance(namespace, str):
            if namespace not in self.namespaces:
                return None
            namespace = self.namespaces.index(namespace)
        return ua.NodeId(address.identifier, namespace)

    def why_none(self, address: Address | NamePath) -> str:
        """Why an address means no node in this session, for people."""
        if isinstance(address, NamePath):
            return str(self.ways.get(address, "the server was not asked yet where its path leads"))
        known = ", ".join(self.namespaces[1:]) or "none"
        return f"the server has no namespace {address.namespace}; it has: {known}"

    def address(self, node: ua.NodeId) -> Address:
        """The address of a node, with its namespace's URI."""
        index = int(node.NamespaceIndex)
        known = 0 < index < len(self.namespaces)
        return Address(self.namespaces[index] if known else index, node.Identifier)

    async def request(self, request: Any, response: type[Any]) -> Any:
        """One request of any service, answered within the device's time-out. Raises the library's errors, for `in_words`."""
        answer = await contained(decoded_beside(response, await self.answer_to(request)))
        answer.ResponseHeader.ServiceResult.check()
        return answer

    async def answer_to(self, request: Any) -> Buffer:
        """The same, undecoded and unchecked."""
        name = type(request).__name__.removesuffix("Request")
        if name in self.profile.lacks:
            raise BadServiceUnsupported
        try:
            return await contained(self._protocol().send_request(request))
        except (BadServiceUnsupported, BadNotImplemented) as error:
            if name in DISPENSABLE:  # the others are asked for at each connect
                self.profile.lacks[name] = name_of(error.code)
            raise

    async def sign_of_life(self) -> None:
        """Ask for the server's state. Raises as `request` does where that is not answered either."""
        await self.answer_to(_ask_for([_STATE]))

    async def request_encoded(self, kind: type[Any], parameters: bytes, timeout: float | None = None) -> Any:
        """One request whose parameters are encoded already, answered within `timeout` seconds, by default the device's.
        Returns the answer's undecoded bytes.

        The library has no way to send them, so this is its `send_request` without the encoding; where the library's inside
        has changed, they take the long way.
        """
        protocol = self._protocol()
        timeout = self.config.timeout if timeout is None else timeout
        if not vars(protocol).keys() >= _INTERNALS:
            request = kind()
            request.Parameters = struct_from_binary(type(request.Parameters), Buffer(parameters))
            return await protocol.send_request(request, timeout)
        header = ua.RequestHeader()
        protocol._setup_request_header(header, timeout)
        body = nodeid_to_binary(kind().TypeId) + struct_to_binary(header) + parameters
        protocol.revolve_security_token()
        protocol._request_id += 1
        message = protocol._connection.message_to_binary(body, request_id=protocol._request_id)
        answer = protocol._callbackmap[protocol._request_id] = asyncio.get_running_loop().create_future()
        protocol.transport.write(message)
        return await contained(protocol.answer_to(answer, timeout))

    async def _publish(self, acknowledgements: Sequence[ua.SubscriptionAcknowledgement]) -> Any:
        """One PublishRequest. Returns the answer's undecoded bytes, however long it takes."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = list(acknowledgements)
        return await self._protocol().send_request(request, timeout=0)

    async def in_chunks(
        self, operation: str, items: Sequence[Any], call: Callable[[Sequence[Any]], Awaitable[Sequence[R]]]
    ) -> list[R]:
        """`call` for all items, as many at a time as the server bears: fewer from now on when it says that they were too
        many, fewer of these when they had too many bytes. Raises LinkError when it answers another number of them."""
        results: list[R] = []
        size = len(items)
        while len(results) < len(items):
            size = min(size, self.limits[operation], len(items) - len(results))
            try:
                results += agreeing(size, await call(items[len(results) : len(results) + size]))
            except SIZES:
                if size == 1:
                    raise
                size //= 2
            except BadTooManyOperations:
                self.shrink(operation, size)
            else:
                size = len(items)
        return results

    def shrink(self, operation: str, size: int) -> None:
        """The server found requests of this size too large: they become half as large. Raises LinkError when they cannot."""
        if size == 1:
            raise LinkError(f"the server finds the smallest request to {operation} too large")
        self.limits[operation] = min(self.limits[operation], size // 2)

    async def renew(self) -> None:
        """Renew the channel's token."""
        with in_words("renewing the secure channel", self.certificate):
            await contained(self._client.open_secure_channel(renew=True))
            self._client.uaclient.revolve_security_token()
            self._plan_renewal()

    def _plan_renewal(self) -> None:
        lifetime = self._client.secure_channel_timeout / 1000
        self.renew_at = asyncio.get_running_loop().time() + max(SOONEST_RENEWAL, RENEW_AT * lifetime)

    def _protocol(self) -> Any:
        protocol = self._client.uaclient.protocol
        if protocol is None or protocol.transport is None:
            raise getattr(protocol, "reason", None) or ConnectionError("the connection is closed")
        return protocol

    async def close(self, *, goodbye: bool) -> None:
        """Close the channel. With a goodbye the session and its subscriptions end too; without one the server keeps them
        for whoever has the ticket."""
        self.publishing.stop()
        if self._client.uaclient.protocol is None:
            return
        if goodbye:
            with contextlib.suppress(LinkError), in_words("saying goodbye"):
                async with asyncio.timeout(GOODBYE):
                    await contained(self._client.close_session())
            with contextlib.suppress(LinkError), in_words("saying goodbye"):
                await contained(self._client.close_secure_channel())
        self._client.disconnect_socket()


def _ask_for(nodes: Sequence[ua.NodeId]) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [ua.ReadValueId(node, ua.AttributeIds.Value) for node in nodes]
    return request


def bounded(uaclient: Any) -> BoundedProtocol:
    """In place of the library's own `UaClient._make_protocol`."""
    protocol = BoundedProtocol(uaclient._timeout, uaclient.security_policy)
    protocol.on_connection_lost = uaclient._on_transport_lost
    uaclient.protocol = protocol
    return protocol
