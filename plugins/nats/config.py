"""What the configuration says of NATS servers. Imports no protocol library, so that checking is fast."""

import re
from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_address

from gateway.plugin import (
    Context,
    Duration,
    Field,
    FilePath,
    Outbound,
    Secret,
    SinkConfig,
    Size,
    Tls,
    check_template,
    device_topic,
    field_validator,
    listed,
    model_validator,
)

from .protocol import subject_of

PORT = 4222

_SERVER = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:/\[\]@]+))(?::(?P<port>\d{1,5}))?")
_STREAM = re.compile(r"[^\s.*>/\\\x00-\x1f\x7f]+")
_TOKEN = re.compile(r"[^\s.*>\x00-\x1f\x7f]+")


class NatsConfig(SinkConfig, Outbound):
    servers: tuple[str, ...] = Field(strict=False, min_length=1, max_length=20, examples=[["nats.plant.local:4222"]])
    """Servers of one cluster, each as "host" or "host:port" (4222). When the connection to one ends, the next is dialled."""

    subject: str = "edge.{enterprise}.{site}.{area}.{line}.{device}"
    """Subject of a device's messages. Tokens that are empty are left out; dots, blanks and wildcards in names become "_"."""

    per_tag: bool = False
    """One message per reading, with the tag's name as a further token of the subject, instead of one per record. Costs far
    more work here, at the servers and at the receivers."""

    stream: str = Field(default="", max_length=255, examples=["EDGE"])
    """The JetStream stream that takes the messages; one that another stream has taken is refused. Default: any."""

    create: bool = False
    """Make the stream if it is not there. One that is there stays as it is."""

    subjects: tuple[str, ...] = Field(default=(), strict=False, max_length=100, examples=[["edge.>"]])
    """Subjects of the stream that is made. Default: all that begin as `subject` does."""

    replicas: int = Field(default=1, ge=1, le=5)
    """Servers that keep the stream that is made."""

    duplicate_window: Duration = Field(default=600.0, ge=1)
    """For so long the stream that is made drops repeats; a record that is sent again after a longer outage is in it twice.
    The servers remember in memory, about 100 bytes a message."""

    max_age: Duration | None = Field(default=None, examples=["30d"])
    """The stream that is made deletes what is older. Default: it keeps everything."""

    max_bytes: Size | None = Field(default=None, examples=["20 GiB"])
    """The stream that is made deletes its oldest messages beyond this size. Default: it keeps everything."""

    domain: str = Field(default="", max_length=255, examples=["hub"])
    """JetStream domain, where it is another than the servers' own, as behind a leaf node."""

    inbox: str = Field(default="_INBOX", max_length=255)
    """How the subjects of the servers' answers begin, for a user that may subscribe to nothing else."""

    user: str = ""
    """User at the servers. Default: anonymous."""

    password: Secret | None = None
    """The user's password, such as { credential = "nats-password" }."""

    token: Secret | None = None
    """A token in place of user and password."""

    nkey: Secret | None = None
    """The seed ("SU…") of a key that proves who we are; it never leaves this machine."""

    credentials: FilePath | None = None
    """A .creds file, with the JWT of a user and its seed."""

    allow_plain_password: bool = False
    """Send password or token even where the network could read it: without tls, to another machine."""

    tls: bool | Tls = False
    """true: encrypted, the servers' certificate checked against the system's authorities; or a table that says more, such as
    { ca = "plant-ca.pem" }."""

    tls_first: bool = False
    """Encrypt before the server greets, for servers with handshake_first."""

    @field_validator("servers")
    @classmethod
    def _servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if "://" in each:
                raise ValueError(
                    f'write "{each.partition("://")[2].rpartition("@")[2]}"; encryption has a key of its own'
                )
            found = _SERVER.fullmatch(each)
            if not found or not 1 <= int(found["port"] or PORT) <= 65535:
                raise ValueError(f'write a server as "host" or "host:port", not {each!r}')
        return value

    @field_validator("subject")
    @classmethod
    def _subject(cls, value: str) -> str:
        if "/" in value:
            raise ValueError('tokens of a subject are separated by "."')
        try:
            check_template(value.replace(".", "/"))
        except ValueError as error:
            raise ValueError(str(error).replace("topic", "subject").replace("broker", "server")) from None
        literal = re.sub(r"\{[^{}]*\}", "x", value)
        if not all(_TOKEN.fullmatch(token) for token in literal.split(".")):
            raise ValueError('a token of a subject is neither empty nor holds blanks, "*" or ">"')
        if literal.startswith(("$", "_INBOX")):
            raise ValueError('a subject that begins with "$" or "_INBOX" belongs to the servers')
        return value

    @field_validator("stream")
    @classmethod
    def _stream(cls, value: str) -> str:
        if value and not _STREAM.fullmatch(value):
            raise ValueError('a stream\'s name has no blanks, dots, "*", ">" or slashes')
        return value

    @field_validator("subjects")
    @classmethod
    def _subjects(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            tokens = each.split(".")
            if not all(
                _TOKEN.fullmatch(token) or token == "*" or (token == ">" and n == len(tokens))
                for n, token in enumerate(tokens, 1)
            ):
                raise ValueError(f'{each!r} is no subject; write one such as "edge.>"')
        return value

    @field_validator("domain", "inbox")
    @classmethod
    def _tokens(cls, value: str) -> str:
        if value and not all(_TOKEN.fullmatch(token) for token in value.split(".")):
            raise ValueError('write tokens separated by ".", without blanks and wildcards')
        return value

    @model_validator(mode="after")
    def _creating(self) -> "NatsConfig":
        if not self.inbox:
            raise ValueError("inbox: must not be empty")
        if self.create and not self.stream:
            raise ValueError("create: needs stream, the name of what is to be made")
        if self.create and not self.subjects and "{" in self.subject.split(".")[0]:
            raise ValueError(
                "create: needs subjects, for subject begins with a name that differs; or begin it with a word"
            )
        return self

    @model_validator(mode="after")
    def _login(self) -> "NatsConfig":
        ways = [name for name in ("user", "token", "nkey", "credentials") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"{listed(ways)}: only one of them says who we are")
        if self.password is not None and not self.user:
            raise ValueError("password: needs user")
        if self.tls_first and not self.tls:
            raise ValueError("tls_first: needs tls")
        if self.exposed and not self.allow_plain_password:
            raise ValueError(
                f"{'token' if self.token else 'password'}: without tls everybody on the network can read it; set tls, or"
                " allow_plain_password = true"
            )
        return self

    def remarks(self, gateway: str, place: Context, devices: Mapping[str, Context]) -> list[str]:
        subjects = {name: self.device_subject(stands, name, gateway) for name, stands in devices.items()}
        shared = [subject for subject, count in Counter(subjects.values()).items() if count > 1]
        return [
            f"subject: devices {listed([name for name, each in subjects.items() if each == subject])} share {subject}:"
            " rename all but one of them"
            for subject in shared
        ]

    @property
    def topic(self) -> str:
        """The subject's template as that of a topic, whose levels become tokens."""
        return self.subject.replace(".", "/")

    def device_subject(self, place: Context, device: str, gateway: str) -> str:
        """Under what a device's messages are published."""
        return subject_of(device_topic(self.topic, place, device, gateway))

    @property
    def made_subjects(self) -> tuple[str, ...]:
        """Of a stream that is made."""
        return self.subjects or (f"{self.subject.split('.')[0]}.>",)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server."""
        found = [_SERVER.fullmatch(each) for each in self.servers]
        return [(each["six"] or each["host"], int(each["port"] or PORT)) for each in found if each]

    @property
    def exposed(self) -> bool:
        """Whether a password or token crosses a network that can read it."""
        secret = self.password is not None or self.token is not None
        return secret and self.tls is False and not all(_here(host) for host, _ in self.addresses)


def _here(host: str) -> bool:
    """Whether that is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
