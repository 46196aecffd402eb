"""What servers and the library say when something fails, in words for the person who can mend it."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from asyncua import ua
from asyncua.ua.uaerrors import (
    BadEncodingLimitsExceeded,
    BadRequestTooLarge,
    BadResponseTooLarge,
    BadTcpMessageTooLarge,
    BadTooManyOperations,
    BadTooManySubscriptions,
)

from gateway.plugin import LinkError, RefusedError, cleaned

R = TypeVar("R")

_REFUSED = {
    "BadUserAccessDenied": "the server refuses this user: check user and password, and the user's rights on the server",
    "BadIdentityTokenRejected": "the server refuses this user: check user and password",
    "BadIdentityTokenInvalid": "the server accepts no login of this kind: it may want a user and password, or none at all",
    "BadSecurityPolicyRejected": "the server refuses this security policy: check security",
    "BadSecurityModeRejected": "the server does not allow this kind of connection: check security and mode",
    "BadSecurityChecksFailed": "the server refuses the gateway's certificate: let it trust {certificate}",
    "BadCertificateUntrusted": "the server does not trust the gateway's certificate: let it trust {certificate}",
    "BadCertificateUriInvalid": "the server finds a wrong application URI in the gateway's certificate {certificate}",
    "BadCertificateTimeInvalid": "the server says that the gateway's certificate is not valid now: check both clocks, and "
    "{certificate}",
    "BadCertificateInvalid": "the server cannot use the gateway's certificate {certificate}",
    "BadCertificateUseNotAllowed": "the server says that the gateway's certificate is for another use: {certificate}",
    "BadApplicationSignatureInvalid": "the server says that the gateway's signature is wrong: check that private_key "
    "belongs to {certificate}",
    "BadTcpEndpointUrlInvalid": "the server does not know this URL: check the path and the host name in url",
    "BadProtocolVersionUnsupported": "the server speaks another version of the protocol",
}
_LINK = {
    "BadTooManySessions": "the server has no session free: close other clients, or wait until their sessions end",
    "BadServerHalted": "the server is halted",
    "BadShutdown": "the server is shutting down",
    "BadSessionIdInvalid": "the server has ended the session",
    "BadSessionClosed": "the server has ended the session",
    "BadSecureChannelIdInvalid": "the server has ended the secure channel",
    "BadSecureChannelClosed": "the server has ended the secure channel",
    "BadNoSubscription": "the server has ended the subscription",
    "BadSubscriptionIdInvalid": "the server has ended the subscription",
    "BadTooManySubscriptions": "the server has no subscription free",
    "BadTcpMessageTypeInvalid": "the server answered something that is not OPC UA",
}

_OF_NODES = {
    "BadNodeIdUnknown": "the server has no such node: compare address with its address space",
    "BadNodeIdInvalid": "the server cannot use this node id: compare address with its address space",
    "BadAttributeIdInvalid": "the node has no value: it is no variable",
    "BadIndexRangeNoData": "the array has no elements there: check index_range",
    "BadIndexRangeInvalid": "the server cannot use this index_range: check it",
    "BadNotReadable": "the server does not let it be read: check the variable's access level there",
    "BadUserAccessDenied": "this user may not read it: give the user the right on the server, or set another user",
    "BadSecurityModeInsufficient": 'the server tells it only over an encrypted connection: mode = "sign_and_encrypt"',
    "BadTooManyMonitoredItems": "the server has no room for more monitored items: raise its limit, remove tags, or set "
    'acquisition = "poll"',
    "BadOutOfMemory": "the server is short of memory: fewer tags, or a smaller queue_size",
    "BadResourceUnavailable": "the server is short of something: fewer tags, or a smaller queue_size",
    "BadMonitoringModeInvalid": 'the server does not watch this node: set acquisition = "poll"',
    "BadNotSupported": 'the server does not do this with the node: set acquisition = "poll"',
    "BadServiceUnsupported": 'the server does not have this service: set acquisition = "poll"',
    "BadEncodingLimitsExceeded": "the value is larger than the server sends: take a part of it by index_range",
    "BadResponseTooLarge": "the value is larger than the server sends: take a part of it by index_range",
    "BadWaitingForInitialData": "the server has no value of it yet",
    "BadNotConnected": "the server has lost the device behind it",
    "BadDeviceFailure": "the device behind the server has failed",
    "BadSensorFailure": "the sensor has failed",
    "BadOutOfService": "the server has put it out of service",
    "BadCommunicationError": "the server does not reach the device behind it",
    "BadNoCommunication": "the server does not reach the device behind it",
    "BadConfigurationError": "the server's own configuration of it is wrong",
    "BadTimeout": "the device behind the server did not answer in time",
}

_LACKS = {"BadServiceUnsupported", "BadNotImplemented", "BadNotSupported"}

_OF_THE_CONNECTION = (
    "BadSession", "BadSecureChannel", "BadSecurityChecks", "BadConnection", "BadServerHalted", "BadShutdown",
    "BadServiceUnsupported", "BadNotImplemented", "BadSubscriptionIdInvalid", "BadNoSubscription", "BadRequestHeaderInvalid",
)  # fmt: skip
"""How the names of status codes begin which say nothing of what a request asks for."""

SIZES = (BadRequestTooLarge, BadResponseTooLarge, BadEncodingLimitsExceeded, BadTcpMessageTooLarge)
"""This request, or its answer, has too many bytes."""
TOO_MUCH = (BadTooManyOperations, *SIZES)
"""A smaller request may do."""

NOT_UNDERSTOOD = (ua.UaError, struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What the library's decoder raises for bytes that make no sense."""


class LacksError(LinkError):
    """The server does not have this service."""


class TooManyError(LinkError):
    """The server has no room for another one."""


class EndedError(ConnectionAbortedError):
    """The connection is at its end, for which this status code is the reason: it says nothing of a single request, and no
    other one will be answered."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the connection has ended ({name_of(code)})")
        self.code = code


def name_of(code: int) -> str:
    """The standard's name of a status code, such as BadNodeIdUnknown; hex for an unknown one."""
    name, doc = ua.status_codes.get_name_and_doc(code & 0xFFFF_0000)
    return f"0x{code:08X}" if doc.startswith("Unknown StatusCode") else name


def of_what_was_asked(error: ua.UaStatusCodeError) -> bool:
    """Whether a refused request may be answered when it asks for something else; the others are of the connection."""
    return not name_of(error.code).startswith(_OF_THE_CONNECTION)


def agreeing(asked: int, results: Sequence[R] | None) -> Sequence[R]:
    """The results, if there are as many as were asked for. Raises LinkError."""
    count = len(results or ())
    if count != asked or results is None:
        raise LinkError(f"the server's answer has {count} results where {asked} were asked for")
    return results


def explain(code: int, certificate: str) -> LinkError:
    """The error to raise when the server answers a request as a whole with this status code."""
    name = name_of(code)
    if name in _REFUSED:
        return RefusedError(f"{_REFUSED[name].format(certificate=certificate)} ({name})")
    if name in _LACKS:
        return LacksError(f"the server does not have this service ({name})")
    return LinkError(f"{_LINK[name]} ({name})" if name in _LINK else f"the server answered {name}")


def in_few_words(code: int) -> str:
    """What a status code says of one node, with what to change where that is known."""
    name = name_of(code)
    return f"{_OF_NODES[name]} ({name})" if name in _OF_NODES else name


@contextmanager
def in_words(doing: str, certificate: str = "its certificate") -> Iterator[None]:
    """Turns what the library raises into LinkError or RefusedError; `doing` says what failed, such as "reading"."""
    try:
        yield
    except (ua.UaStatusCodeError, EndedError) as error:
        told = explain(error.code, certificate)
        kind = TooManyError if isinstance(error, BadTooManySubscriptions) else type(told)
        raise kind(f"{doing}: {told}") from error
    except TimeoutError as error:
        raise LinkError(f"{doing}: the server did not answer in time") from error
    except OSError as error:
        raise LinkError(f"{doing}: {_reason(error)}") from error
    except (RuntimeError, *NOT_UNDERSTOOD) as error:
        if isinstance(error, RuntimeError) and "closed" in str(
            error
        ):  # so uvloop speaks of a socket that was closed already
            raise LinkError(f"{doing}: the connection is closed") from error
        if not isinstance(error, NOT_UNDERSTOOD):
            raise
        why = cleaned(f"{type(error).__name__}: {error}", 300)
        raise LinkError(f"{doing}: the server's answer makes no sense ({why})") from error


def _reason(error: OSError) -> str:
    """asyncio writes its own words into strerror; the system's are better. Negative numbers are the resolver's."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the port in url right, and the server running?"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else cleaned(error.strerror or error)
