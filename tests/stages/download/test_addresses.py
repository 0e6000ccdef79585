from __future__ import annotations

import socket
import threading
import time
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import VideoFailed
from stages.download import addresses
from stages.download.addresses import checked, is_public
from stages.download.fetch import Bounds
from tests.downloads import SOON


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.8",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.88.99.2",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",  # IPv4-compatible
        "::ffff:10.0.0.1",
        "::ffff:0:8.8.8.8",  # IPv4-translated (RFC 2765)
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::808:808",
        "100::1",
        "100:0:0:1::1",
        "2001::1",  # Teredo
        "2001:0:808:808::1",
        "2001:2::1",
        "2001:10::1",
        "2001:1::4",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "2606:2800:220:1::1%lo",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_what_is_not_global_unicast_is_not_connected_to(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.0.9",
        "192.0.0.10",
        "192.0.1.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.175.48.1",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::5db8:d822",
        "2001:1::1",
        "2001:1::2",
        "2001:1::3",
        "2001:3::1",
        "2001:4:112::1",
        "2001:20::1",
        "2001:30::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:2800:220:1:248:1893:25c8:1946",
        "2620:4f:8000::1",
        "3fff:1000::1",
    ],
)
def test_global_unicast_is_connected_to(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_as_public_as_it_was(address: IPv4Address) -> None:
    number = int(address)
    mapped, translated = IPv6Address((0xFFFF << 32) + number), IPv6Address((0x64FF9B << 96) + number)
    assert is_public(str(mapped)) is is_public(str(translated)) is is_public(str(address))


def test_a_network_without_a_line_of_its_own_is_where_it_was_put() -> None:
    """Every exception lies in a special block, or it would change nothing."""
    assert all(
        any(one.version == block.version and one.subnet_of(block) for block in addresses.SPECIAL)  # type: ignore[arg-type]
        for one in addresses.REACHABLE
    )


def bounds(*, seconds: float = 5.0, timeout: float = 5.0) -> Bounds:
    return Bounds(10**9, time.monotonic() + seconds, timeout, attempts=1, pause=0.0)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "127.0.0.1.",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "0",
        "::1",
        "::ffff:7f00:1",
        "fe80::1%lo",
    ],
)
def test_odd_spellings_of_a_private_address_are_refused(host: str) -> None:
    with pytest.raises(VideoFailed) as failed:
        checked(host, bounds(), allow_private=False)
    assert failed.value.code in ("private_address", "unknown_host")  # resolvers differ in what they read


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a\0b", "no-such-host.invalid", "1.2.3.4.5", "..", "1e400"])
def test_what_is_no_host_is_unknown(host: str) -> None:
    with pytest.raises(VideoFailed, match="unknown_host"):
        checked(host, bounds(), allow_private=True)


def test_one_private_address_among_public_ones_is_enough_to_refuse_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(0, 0, 0, "", ("8.8.8.8", 0)), (0, 0, 0, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(VideoFailed, match=r"at 10\.0\.0\.1, a private address"):
        checked("mixed.example", bounds(), allow_private=False)


@pytest.mark.parametrize("answers", [[], [(0, 0, 0, "", ("somewhere", 0))], [(0, 0, 0, "", (10, b"\0"))]])
@pytest.mark.parametrize("allow_private", [True, False])
def test_a_resolver_that_answers_with_no_address_knows_none(
    monkeypatch: pytest.MonkeyPatch, answers: list[object], *, allow_private: bool
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(VideoFailed, match="unknown_host"):
        checked("odd.example", bounds(), allow_private=allow_private)


def test_a_silent_resolver_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        left.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    began = time.monotonic()
    with pytest.raises(VideoFailed, match="too_slow"):
        checked("slow.example", bounds(seconds=0.2, timeout=60.0), allow_private=False)
    with pytest.raises(VideoFailed, match="unknown_host: DNS did not answer"):
        checked("slow.example", bounds(seconds=60.0, timeout=0.2), allow_private=False)
    assert time.monotonic() - began < SOON
    left.set()
