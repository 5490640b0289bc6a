"""A server of S3 for tests, from the PyPI package `moto` in an environment of its own."""

import json
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from hookmill.errors import ConfigError
from sinks.warehouses.parquet.bucket import Address, Bucket
from tests.processes import ROOT, free_port

KEY_ID_ENV: Final = "TEST_S3_KEY_ID"
SECRET_ENV: Final = "TEST_S3_SECRET"

_PROGRAM: Final = Path(ROOT) / ".venv" / "s3" / "bin" / "moto_server"
_DEADLINE_S: Final = 60.0


class S3Server:
    """A server on a free port; what it holds is gone when it stops."""

    def __init__(self) -> None:
        if not _PROGRAM.exists():
            raise ConfigError("The S3 server is not installed: make .venv/s3/.installed")
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._buckets = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """It answers."""
        command = [str(_PROGRAM), "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            try:
                with urlopen(f"{self.endpoint}/moto-api/", timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)

    def stop(self) -> None:
        """It has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def set_credentials(self, environment: pytest.MonkeyPatch) -> None:
        """Those that `address` names are in the environment."""
        environment.setenv(KEY_ID_ENV, "AKIAEXAMPLE")
        environment.setenv(SECRET_ENV, "secret/of+tests")

    def address(self, url: str) -> Address:
        return Address(url, self.endpoint, "us-east-1", KEY_ID_ENV, SECRET_ENV)

    def empty_bucket(self) -> Bucket:
        """A new bucket, with a prefix in it."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        self._put(name, b"")
        return Bucket(self.address(f"s3://{name}/lake/raw"))

    def deny(self, bucket: Bucket, *actions: str) -> None:
        """From now on nobody may do these on the objects of the bucket; with no actions they may do all again."""
        name = urlsplit(str(bucket)).netloc
        resource = f"arn:aws:s3:::{name}/*"
        statement = {"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resource}
        statements = [statement] if actions else []
        self._put(f"{name}?policy", json.dumps({"Version": "2012-10-17", "Statement": statements}).encode())

    def _put(self, path: str, body: bytes) -> None:
        authorization = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261123/us-east-1/s3/aws4_request"
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        with urlopen(Request(f"{self.endpoint}/{path}", body, headers, method="PUT"), timeout=30):
            pass
