"""A bucket of S3, or of what speaks the same protocol, as store."""

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Config

from sinks.contract import SinkUnavailable
from sinks.options import secret
from sinks.warehouses.parquet.store import Fetched, Listed

_REQUEST_S: Final = timedelta(seconds=30)
_CONNECT_S: Final = timedelta(seconds=5)
_RETRIES: Final = 3
_RETRY_S: Final = timedelta(seconds=20)

_UNCONDITIONAL: Final = "the server writes no object on a condition (If-Match, If-None-Match): rows would be lost"
_REFUSED: Final = (PermissionDeniedError, UnauthenticatedError)
_TEXTS_OF_REFUSALS: Final = ("status code: 403", "status code: 401", "code: AccessDenied")
"""Of lists and of deletions the errors are generic; these are texts of obstore 0.12."""


@dataclass(frozen=True)
class Address:
    """A bucket with a prefix. Secrets are in the environment and read when the bucket is opened."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id_env: str | None = None
    secret_access_key_env: str | None = None

    def __str__(self) -> str:
        return self.url


class _Refused(SinkUnavailable):
    """The credentials are wrong, or a right is missing."""


class Bucket:
    """A `Store`. Nothing is locked: a file is replaced on the condition that it is the one that was read."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._store: S3Store | None = None

    def __str__(self) -> str:
        return str(self._address)

    def open(self) -> None:
        """See `Store`. The rights to write and delete are tried, and that conditions hold."""
        self._store = _s3(self._address)
        key = f"_scratch/{secrets.token_hex(8)}"
        self.put(key, b"")
        is_taken_twice = self._put_if(key, b"", "create")
        self.delete([key])
        if is_taken_twice:
            raise SinkUnavailable(f"Parquet warehouse {self._address}: {_UNCONDITIONAL}.")

    def what_is_missing(self) -> Sequence[str]:
        """See `Store`. Each right is tried on an object that is gone in the end, then the rest by `open`."""
        self._store = _s3(self._address)
        key = f"_scratch/{secrets.token_hex(8)}"
        trials: dict[str, Callable[[], object]] = {
            "PutObject": lambda: self.put(key, b""),
            "GetObject": lambda: self.read(key),
            "ListBucket": lambda: self.list("_scratch/"),
            "DeleteObject": lambda: self.delete([key]),
        }
        refused = [right for right, trial in trials.items() if _is_refused(trial)]
        if len(refused) in (0, len(trials)):  # all: it is not about rights, or there are none
            self.open()
            return []
        return [f"A right is missing: allow s3:{right} for {self._address}." for right in refused]

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `Store`."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="hookmill-parquet-", ignore_cleanup_errors=True)
        except OSError as error:
            raise SinkUnavailable(
                f"Parquet warehouse {self._address}: no file can be made in {tempfile.gettempdir()}, where merges "
                f"have theirs: {error.strerror}."
            ) from error
        with folder as name:
            yield Path(name)

    def exclusive(self) -> contextlib.AbstractContextManager[bool]:
        """See `Store`."""
        return contextlib.nullcontext(True)

    def list(self, prefix: str) -> list[Listed]:
        """See `Store`."""
        with self._named_failures():
            pages = obstore.list(self._opened(), prefix.rstrip("/") or None)
            return sorted(Listed(found["path"], found["size"]) for page in pages for found in page)

    def read(self, key: str) -> bytes | None:
        """See `Store`."""
        with self._named_failures(), contextlib.suppress(FileNotFoundError):
            return bytes(obstore.get(self._opened(), key).bytes())
        return None

    def fetch(self, key: str, scratch: Path) -> Fetched | None:
        """See `Store`."""
        file = scratch / f"{len(list(scratch.iterdir()))}.parquet"
        with self._named_failures(), contextlib.suppress(FileNotFoundError):
            found = obstore.get(self._opened(), key)
            with file.open("wb") as target:
                for chunk in found:
                    target.write(chunk)
            return Fetched(file, str(found.meta["e_tag"]))
        return None

    def put(self, key: str, content: bytes) -> None:
        """See `Store`."""
        with self._named_failures():
            obstore.put(self._opened(), key, content, use_multipart=False)

    def replace(self, key: str, file: Path, version: str | None) -> bool:
        """See `Store`."""
        return self._put_if(key, file, "create" if version is None else {"e_tag": version})

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store`."""
        with self._named_failures():
            obstore.delete(self._opened(), list(keys))  # S3 says nothing of those that are not there

    def _put_if(self, key: str, content: bytes | Path, mode: "PutMode") -> bool:
        with self._named_failures():
            try:
                obstore.put(self._opened(), key, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def _opened(self) -> S3Store:
        assert self._store is not None
        return self._store

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            failure = _Refused if _is_refusal(error) else SinkUnavailable
            raise failure(f"Parquet warehouse {self._address}: {_reason(error)}.") from error


def _is_refused(trial: Callable[[], object]) -> bool:
    try:
        trial()
    except _Refused:
        return True
    return False


def _s3(address: Address) -> S3Store:
    parts = urlsplit(address.url)
    config: S3Config = {"region": address.region or "us-east-1"}
    if address.endpoint is not None:
        config["endpoint"] = address.endpoint
    if address.access_key_id_env is not None and address.secret_access_key_env is not None:
        config["access_key_id"] = secret(address.access_key_id_env)
        config["secret_access_key"] = secret(address.secret_access_key_env)
    is_http = (address.endpoint or "").startswith("http://")
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options={"allow_http": is_http, "timeout": _REQUEST_S, "connect_timeout": _CONNECT_S},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_S},
    )


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, _REFUSED) or any(text in str(error) for text in _TEXTS_OF_REFUSALS)


def _reason(error: Exception) -> str:
    """What failed, without the server's answer, which may quote credentials."""
    text = str(error)
    if "NoSuchBucket" in text:
        return "the bucket does not exist: create it"
    if _is_refusal(error):
        return "S3 refuses the credentials, or a right is missing: s3:ListBucket, GetObject, PutObject, DeleteObject"
    if isinstance(error, NotSupportedError) or "NotImplemented" in text:
        return _UNCONDITIONAL
    return " ".join(text.partition("\n")[0].partition(" - Server returned")[0].split())[:300]
