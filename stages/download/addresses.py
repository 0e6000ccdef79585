"""Which addresses may be connected to, and connecting to none but those that were checked.

The table follows IANA's registries, not Python's `ipaddress`, whose copy is as old as the interpreter. To keep it up,
compare `SPECIAL` and `REACHABLE` with the column "Globally Reachable" of

- https://www.iana.org/assignments/iana-ipv4-special-registry (RFC 6890),
- https://www.iana.org/assignments/iana-ipv6-special-registry (RFC 6890),

and `GLOBAL_UNICAST` with https://www.iana.org/assignments/ipv6-address-space; add a line to the test of each new class.
Last compared with the entries up to RFC 9780. What the registries call neither reachable nor unreachable (6to4, Teredo)
is refused. The prefix of a network's own NAT64 (RFC 6052, section 2.2) cannot be known here: such a gateway must refuse
private destinations itself.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import suppress

from stages.base import VideoFailed, of_the_machine
from stages.download.fetch import Bounds

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

SPECIAL: tuple[IPNetwork, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network: RFC 791
            "10.0.0.0/8",  # private: RFC 1918
            "100.64.0.0/10",  # shared by carriers: RFC 6598
            "127.0.0.0/8",  # loopback: RFC 1122
            "169.254.0.0/16",  # link-local, and clouds' metadata: RFC 3927
            "172.16.0.0/12",  # private: RFC 1918
            "192.0.0.0/24",  # protocol assignments: RFC 6890, 7335, 7600, 8880
            "192.0.2.0/24",  # documentation: RFC 5737
            "192.88.99.0/24",  # 6to4 relays, deprecated: RFC 7526, 6751
            "192.168.0.0/16",  # private: RFC 1918
            "198.18.0.0/15",  # benchmarks: RFC 2544
            "198.51.100.0/24",  # documentation: RFC 5737
            "203.0.113.0/24",  # documentation: RFC 5737
            "224.0.0.0/4",  # multicast: RFC 5771
            "240.0.0.0/4",  # reserved, and the limited broadcast: RFC 1112, 8190
            "2001::/23",  # protocol assignments: RFC 2928; Teredo: RFC 4380; benchmarks: RFC 5180; ORCHID: RFC 4843
            "2001:db8::/32",  # documentation: RFC 3849
            "2002::/16",  # 6to4: RFC 3056, deprecated by RFC 7526
            "3fff::/20",  # documentation: RFC 9637
        ),
    )
)
"""Blocks, in IPv4 and in `GLOBAL_UNICAST`, that are not globally reachable, but for `REACHABLE`."""

REACHABLE: tuple[IPNetwork, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.9/32",  # Port Control Protocol: RFC 7723
            "192.0.0.10/32",  # TURN: RFC 8155
            "2001:1::1/128",  # Port Control Protocol: RFC 7723
            "2001:1::2/128",  # TURN: RFC 8155
            "2001:1::3/128",  # DNS-SD service registration: RFC 9665
            "2001:3::/32",  # AMT: RFC 7450
            "2001:4:112::/48",  # AS112: RFC 7535
            "2001:20::/28",  # ORCHIDv2: RFC 7343
            "2001:30::/28",  # drones' identifiers: RFC 9374
        ),
    )
)
"""Exceptions inside `SPECIAL`."""

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 block for global unicast (RFC 4291, section 2.4). Outside it lie ``::/128``, ``::1/128``,
IPv4-compatible addresses, ``64:ff9b:1::/48`` (RFC 8215), ``100::/64`` (RFC 6666), ``100:0:0:1::/64`` (RFC 9780),
``5f00::/16`` (RFC 9602), ``fc00::/7`` (RFC 4193), ``fe80::/10``, ``ff00::/8`` (RFC 4291), ``fec0::/10`` (RFC 3879)."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that a gateway translates to the IPv4 address in their last 32 bits (RFC 6052, section 2.1)."""


def is_public(address: str) -> bool:
    """Whether an IP address is global unicast; an IPv4 address in IPv6 clothes (mapped, NAT64) as that address is.

    Args:
        address: As `socket.getaddrinfo` gives it; one with a scope is of a link, not global.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id:
            return False
        embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped
        if embedded is None and ip not in GLOBAL_UNICAST:
            return False
        ip = embedded or ip
    return any(ip in block for block in REACHABLE) or not any(ip in block for block in SPECIAL)


def checked(host: str, bounds: Bounds, *, allow_private: bool) -> list[str]:
    """The addresses of a host, every one of which may be connected to.

    Args:
        host: Name or address, in ASCII; odd spellings of an address (``2130706433``, ``0x7f.1``) are the resolver's.
        bounds: Of the fetch.
        allow_private: Whether any address may be connected to.

    Raises:
        VideoFailed: ``unknown_host``, ``private_address`` or ``too_slow``.
    """
    addresses = _resolved(host, bounds)
    refused = [address for address in addresses if not (allow_private or is_public(address))]
    if refused:
        message = f"{host} is at {refused[0]}, a private address; set download.allow_private_addresses to fetch it"
        raise VideoFailed("private_address", message)
    return addresses


def connected(host: str, port: int, bounds: Bounds, *, allow_private: bool) -> socket.socket:
    """A connection to the first of a host's checked addresses that takes it: no name is resolved again after the check.

    So a name that resolves differently a moment later (DNS rebinding) gains nothing.

    Raises:
        VideoFailed: As `checked` says.
        OSError: No address took the connection.
    """
    *others, last = checked(host, bounds, allow_private=allow_private)
    for address in others:
        with suppress(OSError):
            return socket.create_connection((address, port), bounds.patience())
    return socket.create_connection((last, port), bounds.patience())


def _resolved(host: str, bounds: Bounds) -> list[str]:
    """The addresses of a host. The resolver knows no time limit, so it runs in a thread that can be left behind."""
    found: list[list[str] | Exception] = []

    def look_up() -> None:
        try:
            answers = dict.fromkeys(
                str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            )
            for address in answers:
                ipaddress.ip_address(address)
            found.append(list(answers) or OSError("the resolver's answer is empty"))
        except (OSError, ValueError) as reason:  # ValueError: a label too long, a null byte, no address in the answer
            found.append(reason)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(bounds.patience())
    if not found:
        bounds.check_time()
        raise VideoFailed("unknown_host", f"DNS did not answer for {host} in time", retryable=True)
    (answer,) = found
    if isinstance(answer, Exception):
        if of_the_machine(answer):
            raise answer
        retryable = isinstance(answer, socket.gaierror) and answer.errno == socket.EAI_AGAIN
        raise VideoFailed("unknown_host", f"{host} has no address: {answer}", retryable=retryable) from answer
    return answer
