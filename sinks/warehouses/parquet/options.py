"""The options of the Parquet warehouse. Libraries are an extra: nothing here needs them before a sink is checked."""

from pathlib import Path
from urllib.parse import urlsplit

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import Surroundings, require
from sinks.rules import Rules


class ParquetOptions(Rules, frozen=True, kw_only=True):
    """`path`: a folder; or `url`: `s3://bucket/prefix`, with `endpoint` for a server other than Amazon's, `region`, and
    the names of the environment variables with the credentials (AWS's own places if they are not given).

    `merge_every_s`: how old the files of the tables may be; 0 for never older than the last batch.
    """

    path: str | None = None
    url: str | None = None
    endpoint: str | None = None
    region: str | None = None
    access_key_id_env: str | None = None
    secret_access_key_env: str | None = None
    merge_every_s: float = 60.0

    def check(self) -> None:
        """See `Options`."""
        if self.history:
            raise ConfigError("parquet keeps no history of objects; sqlite, postgres, duckdb and clickhouse can.")
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value == "" or "\x00" in str(value):
                raise ConfigError(f"{name} must be a text that is not empty.")
        if not 0 <= self.merge_every_s <= 86_400:
            raise ConfigError(f"merge_every_s is {self.merge_every_s:g}: it must be from 0 to 86,400 seconds.")
        if self.url is None:
            self._check_folder()
        else:
            self._check_bucket(self.url)
        require("duckdb", "pyarrow", "obstore", extra="parquet")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        from sinks.warehouses.parquet.bucket import Address, Bucket
        from sinks.warehouses.parquet.folder import Folder
        from sinks.warehouses.parquet.sink import ParquetWarehouse

        if self.url is None:
            return ParquetWarehouse(Folder(self._folder(around.data_dir)), self.merge_every_s, self)
        address = Address(self.url, self.endpoint, self.region, self.access_key_id_env, self.secret_access_key_env)
        return ParquetWarehouse(Bucket(address), self.merge_every_s, self)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return self.url or str(data_dir / (self.path or _FOLDER))

    def _check_folder(self) -> None:
        for name in ("endpoint", "region", "access_key_id_env", "secret_access_key_env"):
            if getattr(self, name) is not None:
                raise ConfigError(f'{name} is for a bucket: it needs url = "s3://...".')

    def _check_bucket(self, url: str) -> None:
        if self.path is not None:
            raise ConfigError("path and url name two places: leave one of them out.")
        try:
            parts = urlsplit(url)
            is_bucket = parts.scheme == "s3" and bool(parts.netloc) and "@" not in url and not parts.query
        except ValueError:
            is_bucket = False
        if not is_bucket:  # not quoted: it may hold a password
            raise ConfigError("url must be like s3://bucket/prefix; credentials come from the environment.")
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in ("http", "https"):
            raise ConfigError("endpoint must be like https://s3.example.com.")
        if (self.access_key_id_env is None) != (self.secret_access_key_env is None):
            raise ConfigError("access_key_id_env and secret_access_key_env belong together: give both or none.")

    def _folder(self, data_dir: Path) -> Path:
        """Created only below `data_dir`: a folder elsewhere that is missing may be a disk that is not mounted."""
        folder = data_dir / (self.path or _FOLDER)
        if folder.is_relative_to(data_dir):
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise ConfigError(f"folder {folder} does not exist.")
        return folder


_FOLDER = "parquet"
