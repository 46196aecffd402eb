"""Where a lake is: a folder, or a bucket of an object store. Imports no library of one, so that checking is fast."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from gateway.config.base import RangeSinkConfig, Secret
from gateway.config.fields import Field, FilePath
from gateway.config.secrets import resolve
from gateway.core.errors import LinkError, RefusedError

TIMEOUT, CONNECT = "60s", "10s"
"""Of one request to an object store."""
SCHEMES = {"s3": "S3", "az": "Azure", "gs": "Google"}


class LakeConfig(RangeSinkConfig):
    """What every sink can say that writes to a lake."""

    folder: FilePath | None = Field(default=None, examples=["/srv/lake"])
    """A folder, made if only its last part is missing. Either this or `url`."""

    url: str = Field(default="", examples=["s3://plant-lake/line-3"])
    """An object store: "s3://BUCKET/PREFIX", "az://CONTAINER/PREFIX" (Azure) or "gs://BUCKET/PREFIX" (Google)."""

    endpoint: str = Field(default="", examples=["https://store.plant.local:9000"])
    """Address of a store that is not the cloud's own, such as SeaweedFS or MinIO on premises."""

    region: str = Field(default="us-east-1", min_length=1, max_length=100)
    """Region of the bucket (S3)."""

    user: str = Field(default="", max_length=255)
    """Access key id (S3), or name of the storage account (Azure)."""

    password: Secret | None = None
    """Secret access key (S3), key of the account (Azure), or the key file of a service account (Google), such as
    { credential = "lake-key" }. Without it the machine's own identity is used, where the cloud gives it one."""

    addressing: Literal["path", "host"] = "path"
    """With `endpoint`: whether the bucket stands in the path of an address, or in the name of its host (S3)."""

    allow_http: bool = False
    """Let `endpoint` be http: everybody on the network can read what is written, though not the secret key."""

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.netloc or parts.query or parts.fragment:
            raise ValueError('write "s3://BUCKET/PREFIX", "az://CONTAINER/PREFIX" or "gs://BUCKET/PREFIX"')
        if "@" in parts.netloc:
            raise ValueError("a secret never stands in this file: write user = ..., password = { credential = ... }")
        return url.rstrip("/")

    @field_validator("endpoint")
    @classmethod
    def _address(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if endpoint and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None):
            raise ValueError('write "https://HOST:PORT"')
        return endpoint

    @model_validator(mode="after")
    def _one_place(self) -> "LakeConfig":
        if (self.folder is None) == (not self.url):
            raise ValueError("write either folder or url")
        if self.folder is not None and (self.endpoint or self.user or self.password):
            raise ValueError("endpoint, user and password: only with url")
        if self.user and self.password is None:
            raise ValueError("user: needs password")
        if self.endpoint.startswith("http:") and not self.allow_http:
            raise ValueError("endpoint: by http everybody on the network reads along; use https, or allow_http = true")
        return self

    @property
    def place(self) -> str:
        """For people, and to tell lakes apart."""
        return self.url or str(Path(str(self.folder)).absolute())

    def look(self) -> None:
        """Whether a folder can be written. Raises RefusedError in words."""
        if self.folder is not None:
            look_at(self.folder)

    def store_options(self) -> dict[str, str]:
        """As the libraries of object stores understand them (obstore and deltalake alike); none for a folder. Raises
        GatewayError where the secret cannot be read."""
        secret = resolve(self.password).strip() if self.password is not None else ""
        scheme = urlsplit(self.url).scheme
        given = {"timeout": TIMEOUT, "connect_timeout": CONNECT} if self.url else {}
        if scheme == "s3":
            given |= {
                "aws_access_key_id": self.user,
                "aws_secret_access_key": secret,
                "aws_endpoint": self.endpoint,
                "aws_region": self.region,
                "aws_virtual_hosted_style_request": "false" if self.addressing == "path" else "true",
            }
        elif scheme == "az":
            given |= {"azure_storage_account_name": self.user, "azure_storage_account_key": secret}
            given |= {"azure_storage_endpoint": self.endpoint}
        elif scheme == "gs":
            given |= {"google_service_account_key": secret, "google_base_url": self.endpoint}
        if self.allow_http:
            given["allow_http"] = "true"
        return {name: value for name, value in given.items() if value}

    def object_store(self) -> Any:
        """The place of `url`, for obstore. Raises ModuleNotFoundError where that is not installed, and what it raises."""
        from obstore.store import from_url

        options = self.store_options()
        client: Any = {name: options.pop(name) for name in ("timeout", "connect_timeout") if name in options}
        client |= {"allow_http": True} if options.pop("allow_http", "") else {}
        given: Any = options
        retries: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
        return from_url(self.url, config=given, client_options=client, retry_config=retries)

    def identity(self, gateway: str) -> str:
        """Two sinks must not write to one lake: each would take the other's commits for its own."""
        return f"the writer of {self.place}"


def look_at(folder: Path) -> None:
    """Whether a folder is there, or can be made, and written. Raises RefusedError in words."""
    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"{folder} is a file, not a folder: name another one, or move it away")
    if not folder.parent.is_dir():
        raise RefusedError(f"{folder.parent} is not there: is its disk mounted? Else make the folder")
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
        raise RefusedError(f"{folder}: the gateway's user may not write there: change the folder's owner or rights")


@contextmanager
def in_words(place: str) -> Iterator[None]:
    """What a disk says, with what it means, as a LinkError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = (
            "there is no room for the next commit, which waits in the outbox" if full else error.strerror or str(error)
        )
        where = f" ({error.filename})" if error.filename and not full else ""
        raise LinkError(f"{place}: {what}{where}") from error
