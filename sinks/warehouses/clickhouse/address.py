"""Where a ClickHouse warehouse is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """A database of a server. The password is in the environment and read anew for each connection."""

    scheme: str
    """`http` or `https`."""
    host: str
    port: int
    database: str
    user: str
    password_env: str | None = None

    def __str__(self) -> str:
        """Host and database, for people."""
        return f"{self.host}/{self.database}"
