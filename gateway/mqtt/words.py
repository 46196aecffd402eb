"""What went wrong with a broker, in words for the person at the machine."""

import errno
import socket
import ssl

from gateway.core.errors import LinkError, RefusedError, UnreachableError
from gateway.core.text import cleaned
from gateway.dial import ProxyError, SourceError, why_no_tls
from gateway.mqtt.broker_options import MqttOptions
from gateway.mqtt.websocket import WebSocketError

NO_SUBSCRIBERS = 0x10
FAILURE = 0x80
UNSUPPORTED_PROTOCOL = 0x84
CLIENT_ID_REFUSED = 0x85
NOT_AUTHORISED = 0x87
TAKEN_OVER = 0x8E
TOPIC_INVALID = 0x90
TOO_LARGE = 0x95


_FINAL = {TOPIC_INVALID, TOO_LARGE, 0x99}

# Reason codes of MQTT 5 (section 2.4), as far as a broker can send them to a publisher.
_REASONS = {
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    UNSUPPORTED_PROTOCOL: "protocol version not supported",
    CLIENT_ID_REFUSED: "client id not accepted",
    0x86: "wrong user or password",
    NOT_AUTHORISED: "not authorised",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8B: "server shutting down",
    0x8C: "bad authentication method",
    0x8D: "keep-alive time-out",
    TAKEN_OVER: "session taken over",
    0x8F: "topic filter invalid",
    TOPIC_INVALID: "topic not allowed",
    0x91: "packet identifier in use",
    0x93: "receive maximum exceeded",
    0x94: "topic alias invalid",
    TOO_LARGE: "packet too large",
    0x96: "message rate too high",
    0x97: "quota exceeded",
    0x98: "ended by an administrator",
    0x99: "payload format invalid",
    0x9A: "retained messages not supported",
    0x9B: "QoS 1 not supported",
    0x9C: "use another server",
    0x9D: "server moved",
    0x9F: "connection rate exceeded",
    0xA0: "maximum connect time reached",
}

# Refusals of a connection that another attempt alone will not change.
_PERSON_MUST_ACT = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, TAKEN_OVER, 0x9B, 0x9C, 0x9D}

_ADVICE = {
    CLIENT_ID_REFUSED: "set another client_id",
    0x86: "check user and password",
    0x87: "check user, password and the broker's access rights",
}


class CutOffError(LinkError):
    """The broker closed an established connection without a word."""


class NoAnswerError(LinkError):
    """The broker closed the connection instead of answering our CONNECT; old ones do so when they do not know MQTT 5."""


class WrongProtocolError(RefusedError):
    """The broker does not speak the version that we asked for."""


def is_final(code: int) -> bool:
    """Whether a refused message will be refused for ever: topic, size or payload format. Access rights can be mended."""
    return code in _FINAL


def reason(code: int, text: str = "") -> str:
    """A reason code in words, with the broker's own text where it gave one."""
    words = _REASONS.get(code, f"reason code 0x{code:02X}")
    return f"{words} ({cleaned(text)})" if text else words


def refused_connection(options: MqttOptions, code: int, text: str = "") -> LinkError:
    """The error for a CONNACK that says no."""
    who = f' user "{options.user}"' if options.user else ""
    message = f"broker {options.address} refuses{who}: {reason(code, text)}"
    if advice := _ADVICE.get(code):
        message += f"; {advice}"
    if code == UNSUPPORTED_PROTOCOL:
        return WrongProtocolError(message)
    return (RefusedError if code in _PERSON_MUST_ACT else LinkError)(message)


def disconnected(options: MqttOptions, code: int, text: str = "") -> LinkError:
    """The error for a DISCONNECT that the broker sent."""
    message = f"broker {options.address} ended the session: {reason(code, text)}"
    if code == TAKEN_OVER:
        message += f"; {twin(options)}"
    return (RefusedError if code in _PERSON_MUST_ACT else LinkError)(message)


def twin(options: MqttOptions) -> str:
    """What to do about a client id that two clients use."""
    return (
        f'another client has connected with our client id "{options.client_id}": is there another gateway of this name,'
        " or a copied disk? Give each gateway its own name, or set client_id"
    )


def cut_off_again(options: MqttOptions, times: int) -> LinkError:
    """The error for a broker that has closed so many connections in a row without a word, each soon after its start."""
    return RefusedError(
        f"broker {options.address} has closed {times} connections in a row soon after their start, without a reason:"
        f" either {twin(options)}; or it takes offence at a message of ours (too large, topic not allowed); its log tells"
    )


def no_answer(options: MqttOptions) -> NoAnswerError:
    """The error for a connection that was closed in place of a CONNACK."""
    if options.tls is None:
        guess = "does the port expect TLS?"
    elif options.tls.certificate is None:
        guess = "does it want a certificate of ours (tls = { certificate = ..., key = ... })?"
    else:
        guess = "does it not accept our certificate?"
    return NoAnswerError(
        f"broker {options.address} closed the connection without an answer: is it an MQTT broker, {guess}"
    )


def failed_dial(options: MqttOptions, error: Exception) -> LinkError:
    """The error for a connection that did not come about."""
    where = f"broker {options.address}"
    if isinstance(error, ssl.SSLError):
        return RefusedError(f"{where}: {why_no_tls(error, options.tls, options.host, 'the broker')}")
    if isinstance(error, ProxyError):
        return (RefusedError if error.person else UnreachableError)(f"{where}: {error}")
    if isinstance(error, WebSocketError | SourceError):
        return RefusedError(f"{where}: {error}")
    if isinstance(error, socket.gaierror):
        return UnreachableError(f'{where}: the name "{options.host}" is not known ({error.strerror})')
    if isinstance(error, ConnectionRefusedError):
        return UnreachableError(
            f"{where}: nothing listens there (connection refused): is the broker running, is the port right?"
        )
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return LinkError(f"{where} has not ended the TLS handshake within {options.timeout:g} s")
    if isinstance(error, TimeoutError):
        return UnreachableError(f"{where} has not answered within {options.timeout:g} s")
    if isinstance(error, ConnectionError) and options.tls is not None:
        return LinkError(f"{where} broke the TLS handshake off ({_system(error)}): does the port speak TLS?")
    return UnreachableError(f"{where}: {_system(error)}")


def lost(options: MqttOptions, error: OSError | None) -> LinkError:
    """The error for a connection that ended without a word of the broker's."""
    where = f"broker {options.address}"
    if isinstance(error, ssl.SSLError):
        return RefusedError(f"{where}: {why_no_tls(error, options.tls, options.host, 'the broker')}")
    if error is None:
        return CutOffError(
            f"{where} closed the connection without a reason: it was stopped, or another client has connected with our"
            f' client id "{options.client_id}"'
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return LinkError(
            f"{where}: the link swallows what is sent (no TCP acknowledgement for {options.user_timeout:g} s)"
        )
    return LinkError(f"{where}: connection lost: {_system(error)}")


def _system(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
