"""Which addresses are of the public Internet."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# Our own tables, since `is_global` of the standard library changed its mind between patch releases (3.11.10, 3.12.4).
# Source: IANA's registries of special-purpose addresses; whatever is not globally reachable there is closed here.
_CLOSED_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; 100.100.100.200 is a metadata service
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # public by its number, but one cloud routes it to the agent of the host
            "169.254.0.0/16",  # link-local; 169.254.169.254 is the usual metadata service
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_OPEN_V6: Final = IPv6Network("2000::/3")
"""All that is handed out as global unicast. Loopback, link-local, unique local (fd00:ec2::254 is a metadata service),
site-local and multicast lie outside."""
_CLOSED_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments; Teredo is one of them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: leads to whatever IPv4 address is inside, and nobody needs it any more
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Where a network has IPv6 only, its DNS gives these for hosts that have IPv4 only: the address inside counts."""
_LOW_32_BITS: Final = 0xFFFF_FFFF


def is_public(text: str) -> bool:
    """The address is one of the public Internet. False also for what is no address in its usual form.

    Spellings that the C library accepts, such as `127.1`, `0x7f000001` or `017700000001`, are not in their usual form.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _is_public_v4(address) if isinstance(address, IPv4Address) else _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in _CLOSED_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    inside = address.ipv4_mapped
    if inside is None and address in _NAT64:
        inside = IPv4Address(int(address) & _LOW_32_BITS)
    if inside is not None:
        return _is_public_v4(inside)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)
