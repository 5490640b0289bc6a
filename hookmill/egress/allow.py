"""The allow list: which hosts, ports and schemes may be called."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from yarl import URL

from hookmill.egress.errors import FetchRefused
from hookmill.errors import ConfigError

DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<wildcard>\*\.)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#@:*\[\]]+)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True)
class Rule:
    """One entry of the list. What it does not name is not restricted, but for the port: then the scheme's own."""

    host: str
    """As it stands in a URL: lower case, international names in their ASCII form; of a wildcard what follows `*.`."""
    is_wildcard: bool
    """Any name below `host`, at any depth, but not `host` itself."""
    scheme: str | None
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> Self:
        """From `api.example.com`, `*.example.com`, `api.example.com:8443`, `https://api.example.com`.

        Errors: `ConfigError` naming the entry.
        """
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigError(
                f'"{entry}" is no host: write api.example.com, *.example.com, or either with https:// before or a '
                ":port after it."
            )
        try:
            host = host_of(URL(f"https://{match['host']}"))
        except ValueError:
            raise ConfigError(f'"{entry}" is no host: {match["host"]} is not a valid name.') from None
        if match["wildcard"] and "." not in host:
            raise ConfigError(f'"{entry}" would allow all of .{host}: name at least a domain, such as *.example.com.')
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 1 <= port <= 65_535:
            raise ConfigError(f'"{entry}" has the port {port}: ports are 1 to 65535.')
        return cls(host, bool(match["wildcard"]), match["scheme"], port)

    def admits(self, url: URL) -> bool:
        """The URL is absolute, of http or https."""
        host = host_of(url)
        is_host = host.endswith(f".{self.host}") if self.is_wildcard else host == self.host
        is_port = url.port == (self.port or DEFAULT_PORTS[url.scheme])
        return is_host and is_port and self.scheme in (None, url.scheme)


@dataclass(frozen=True)
class AllowList:
    """All that may be called; `setting` says to people where the list is kept."""

    rules: tuple[Rule, ...]
    setting: str

    @classmethod
    def parse(cls, entries: Iterable[str], setting: str) -> Self:
        """Errors: `ConfigError` naming the first entry that is none."""
        # Exact hosts first: only they may stand for private addresses, so they go before wildcards that match too.
        rules = sorted((Rule.parse(entry) for entry in entries), key=lambda rule: rule.is_wildcard)
        return cls(tuple(rules), setting)

    def rule_for(self, url: URL) -> Rule:
        """The rule that admits the URL. Errors: `FetchRefused`."""
        for rule in self.rules:
            if rule.admits(url):
                return rule
        port = "" if url.port == DEFAULT_PORTS[url.scheme] else f":{url.port}"
        raise FetchRefused(f"{url.scheme}://{host_of(url)}{port} is not allowed: {self.setting} does not name it.")


def host_of(url: URL) -> str:
    """The host as rules are compared: ASCII, lower case, without the dot at its end. Errors: `ValueError`."""
    host = (url.raw_host or "").lower().rstrip(".")
    if not host:
        raise ValueError("a URL without a host")
    return host
