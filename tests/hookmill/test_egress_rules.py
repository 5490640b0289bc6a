"""Which addresses, hosts and calls may leave: the rules alone, without a connection."""

import random
from ipaddress import IPv4Network

import pytest
from yarl import URL

from hookmill.egress.addresses import is_public
from hookmill.egress.allow import AllowList
from hookmill.egress.call import MAX_BODY_BYTES, Call
from hookmill.egress.errors import FetchRefused
from hookmill.errors import ConfigError

SETTING = "[network] allow"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.0.1",
        "198.19.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",  # IPv4-compatible, deprecated
        "::ffff:127.0.0.1",  # IPv4-mapped
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",  # NAT64
        "64:ff9b:1::8.8.8.8",  # NAT64 of the local network
        "100::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2001:db8::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:808:808::",  # 6to4 at all
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_address_of_a_special_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "8.8", "134744072", "", "localhost"]
)
def test_spelling_that_only_the_c_library_reads_is_not_public(spelling: str) -> None:
    assert not is_public(spelling)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
    ],
)
def test_address_beside_the_special_networks_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("api.example.com", "https://api.example.com/a?b=c"),
        ("api.example.com", "http://api.example.com/"),
        ("api.example.com", "https://API.Example.com./"),
        ("API.example.com", "https://api.example.com/"),
        ("*.example.com", "https://a.example.com/"),
        ("*.example.com", "https://a.b.example.com/"),
        ("api.example.com:8443", "https://api.example.com:8443/"),
        ("https://api.example.com", "https://api.example.com:443/"),
        ("bücher.example", "https://xn--bcher-kva.example/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("[::1]:8080", "http://[::1]:8080/"),
    ],
)
def test_entry_admits_what_it_names(entry: str, url: str) -> None:
    assert AllowList.parse([entry], SETTING).rule_for(URL(url))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("api.example.com", "https://example.com/"),
        ("api.example.com", "https://api.example.com.evil.example/"),
        ("api.example.com", "https://evil-api.example.com/"),
        ("api.example.com", "https://api.example.com:8443/"),
        ("api.example.com", "https://api.example.com:80/"),
        ("api.example.com", "http://evil.example/api.example.com"),
        ("api.example.com", "http://evil.example#@api.example.com/"),
        ("api.example.com", "http://evil.example\\@api.example.com/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://evilexample.com/"),
        ("api.example.com:8443", "https://api.example.com/"),
        ("https://api.example.com", "http://api.example.com/"),
        ("https://api.example.com", "http://api.example.com:443/"),
    ],
)
def test_entry_does_not_admit_what_it_does_not_name(entry: str, url: str) -> None:
    with pytest.raises(FetchRefused):
        AllowList.parse([entry], SETTING).rule_for(Call.checked("GET", url).url)


def test_refusal_names_host_and_setting_and_nothing_else_of_the_url() -> None:
    url = URL("https://evil.example:444/secret-path?key=secret")

    with pytest.raises(FetchRefused) as refusal:
        AllowList.parse(["api.example.com"], SETTING).rule_for(url)

    assert str(refusal.value) == "https://evil.example:444 is not allowed: [network] allow does not name it."


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.com",
        "a.*.com",
        "api.example.com/path",
        "user@api.example.com",
        "ftp://api.example.com",
        "api.example.com:0",
        "api.example.com:65536",
        "a b.example",
        "http://",
        "..",
    ],
)
def test_entry_that_is_no_host_is_told(entry: str) -> None:
    with pytest.raises(ConfigError) as complaint:
        AllowList.parse(["good.example", entry], SETTING)

    assert f'"{entry}"' in str(complaint.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "api.example.com",
        "file:///etc/passwd",
        "ftp://api.example.com/",
        "data:text/plain,a",
        "unix:///var/run/docker.sock",
        "https://user:password@api.example.com/",
        "https://api.example.com@evil.example/",
        "https:///path",
        "http://[::1",
        "http://[]@",
        "http://api.example.com:99999/",
    ],
)
def test_url_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refusal:
        Call.checked("GET", url)

    assert "password" not in str(refusal.value).replace("user or password", "")


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "evil.example"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("Proxy-Authorization", "secret-value"),
        ("X-A", "secret-value\r\nX-B: c"),
        ("X-A", "secret-value\n"),
        ("X-A", "secret-value\0"),
        ("X-A\r\nX-B", "secret-value"),
        ("X A", "secret-value"),
        ("", "secret-value"),
    ],
)
def test_header_that_could_change_the_call_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(FetchRefused) as refusal:
        Call.checked("GET", "https://api.example.com/", (header,))

    assert "secret-value" not in str(refusal.value)


def test_headers_that_are_ours_to_write_are_left_out() -> None:
    call = Call.checked(
        "post", "https://a.example/", (("Content-Length", "9"), ("Accept", "*/*"), ("connection", "close"))
    )

    assert call.method == "POST"
    assert call.headers == (("Accept", "*/*"),)


@pytest.mark.parametrize("method", ["CONNECT", "trace", "GET / HTTP/1.1\r\nX: y", "", "GET "])
def test_method_that_is_none_is_refused(method: str) -> None:
    with pytest.raises(FetchRefused, match="method"):
        Call.checked(method, "https://api.example.com/")


def test_request_over_a_mebibyte_is_refused() -> None:
    assert Call.checked("POST", "https://a.example/", (), bytes(MAX_BODY_BYTES)).body

    with pytest.raises(FetchRefused, match=r"1048577 bytes exceeds the limit of 1048576"):
        Call.checked("POST", "https://a.example/", (), bytes(MAX_BODY_BYTES + 1))


CREDENTIALS = (("Authorization", "Bearer a"), ("X-Api-Key", "b"), ("Cookie", "c=d"))
CONTENT = (("Content-Type", "application/json"),)


@pytest.mark.parametrize("target", ["https://b.example/", "http://a.example/", "https://a.example:8443/"])
def test_redirect_to_another_origin_takes_no_credentials_along(target: str) -> None:
    call = Call.checked("POST", "https://a.example/", CREDENTIALS + CONTENT, b"{}")

    redirected = call.redirected(307, target)

    assert redirected == Call("POST", URL(target), CONTENT, b"{}")


def test_redirect_within_the_origin_keeps_the_headers() -> None:
    call = Call.checked("GET", "https://a.example/x/y", CREDENTIALS)

    redirected = call.redirected(301, "../z?q=1")

    assert redirected == Call("GET", URL("https://a.example/z?q=1"), CREDENTIALS)


@pytest.mark.parametrize("target", ["http://[]@", "http://[", "file:///etc/passwd", "http://user@b.example/"])
def test_redirect_to_what_is_no_plain_url_is_refused(target: str) -> None:
    with pytest.raises(FetchRefused):
        Call.checked("GET", "https://a.example/").redirected(302, target)


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (301, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_redirect_changes_the_method_as_fetch_does(status: int, method: str, after: str) -> None:
    call = Call.checked(method, "https://a.example/", CONTENT, b"{}")

    redirected = call.redirected(status, "/next")

    assert redirected.method == after
    assert (redirected.body, redirected.headers) == ((b"{}", CONTENT) if after == method else (b"", ()))


SPECIAL_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
"""Source: IANA's registry of special-purpose IPv4 addresses, and multicast."""


def test_two_thousand_ways_to_write_a_special_address_are_none_of_them_public() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    networks = [IPv4Network(network) for network in SPECIAL_V4]

    for _ in range(400):
        network = chance.choice(networks)
        address = network[chance.randrange(network.num_addresses)]
        number = int(address)
        spellings = [
            str(address),
            f"::ffff:{address}",
            f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}",
            f"64:ff9b::{address}",
            f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1",
        ]
        assert not [spelling for spelling in spellings if is_public(spelling)]
