"""What servers and the library say when something fails, in words for the person who can mend it."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from asyncua import ua

from gateway.plugin import LinkError, RefusedError

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

NOT_UNDERSTOOD = (ua.UaError, struct.error, ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What the library's decoder raises for bytes that make no sense."""


def name_of(code: int) -> str:
    """The standard's name of a status code, such as BadNodeIdUnknown; hex for an unknown one."""
    name, doc = ua.status_codes.get_name_and_doc(code & 0xFFFF_0000)
    return f"0x{code:08X}" if doc.startswith("Unknown StatusCode") else name


def explain(code: int, certificate: str) -> LinkError:
    """The error to raise when the server answers a request as a whole with this status code."""
    name = name_of(code)
    if name in _REFUSED:
        return RefusedError(f"{_REFUSED[name].format(certificate=certificate)} ({name})")
    return LinkError(f"{_LINK[name]} ({name})" if name in _LINK else f"the server answered {name}")


@contextmanager
def in_words(doing: str, certificate: str = "its certificate") -> Iterator[None]:
    """Turns what the library raises into LinkError or RefusedError; `doing` says what failed, such as "reading"."""
    try:
        yield
    except ua.UaStatusCodeError as error:
        told = explain(error.code, certificate)
        raise type(told)(f"{doing}: {told}") from error
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
        raise LinkError(f"{doing}: the server's answer makes no sense ({type(error).__name__}: {error})") from error


def _reason(error: OSError) -> str:
    """asyncio writes its own words into strerror; the system's are better. Negative numbers are the resolver's."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the port in url right, and the server running?"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)
