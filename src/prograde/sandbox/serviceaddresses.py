"""Addresses and node ports of Services: which are taken, and the next free one.

Nothing is reserved. What is taken is read off the Services that were stored; a write gets its own look at that, with
what it takes itself on top, so that a write that fails or is a dry run leaves no trace.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from prograde.sandbox.kinds import Kind, Object
from prograde.sandbox.store import Entry, Store

__all__ = ["Allocation", "ServiceAddresses"]

NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
PORT_MIN = 30_000
PORT_MAX = 32_767

SERVICES = ("", "services")

_T = TypeVar("_T")


class ServiceAddresses:
    """What all Services of one cluster have taken; a hook of the write verbs keeps it current."""

    def __init__(self, store: Store) -> None:
        self.addresses: Counter[str] = Counter()
        self.ports: Counter[int] = Counter()
        self.next_address = 1
        self.next_port = PORT_MIN
        for entry in store.bucket(SERVICES).scan():
            self._count(entry.obj, 1)

    def __call__(self, kind: Kind, entry: Entry | None, previous: Entry | None) -> None:
        if kind.storage_key != SERVICES:
            return
        if previous is not None:
            self._count(previous.obj, -1)
        if entry is not None:
            self._count(entry.obj, 1)

    def _count(self, service: Object, difference: int) -> None:
        spec = service.get("spec") or {}
        for address in {spec.get("clusterIP"), *(spec.get("clusterIPs") or ())} - {None, "", "None"}:
            self.addresses[address] += difference
        for port in {port.get("nodePort") for port in spec.get("ports") or ()} - {None, 0}:
            self.ports[port] += difference


class Allocation:
    """What one write takes."""

    def __init__(self, taken: ServiceAddresses) -> None:
        self._taken = taken
        self._addresses: set[str] = set()
        self._ports: set[int] = set()

    def address(self, wanted: str) -> str:
        """Return `wanted`, or a free address when it is empty.

        Raises:
            ValueError: `wanted` is taken or outside the cluster's network, or none is free.
        """
        taken, own = self._taken.addresses, self._addresses
        if wanted:
            if ipaddress.IPv4Address(wanted) not in NETWORK:
                raise ValueError(f"the provided IP ({wanted}) is not in the valid range {NETWORK}")
            if taken[wanted] > 0 or wanted in own:
                raise ValueError(f"provided IP is already allocated: {wanted}")
            own.add(wanted)
            return wanted
        size = NETWORK.num_addresses
        found = self._search(
            lambda offset: str(NETWORK[1 + (self._taken.next_address - 1 + offset) % (size - 2)]),
            size - 2,
            lambda candidate: taken[candidate] <= 0 and candidate not in own,
        )
        self._taken.next_address += 1
        own.add(found)
        return found

    def port(self, wanted: int) -> int:
        """Return `wanted`, or a free node port when it is 0.

        Raises:
            ValueError: `wanted` is taken or no node port, or none is free.
        """
        taken, own = self._taken.ports, self._ports
        if wanted:
            if not PORT_MIN <= wanted <= PORT_MAX:
                raise ValueError(f"the range of valid ports is {PORT_MIN}-{PORT_MAX}")
            if taken[wanted] > 0 or wanted in own:
                raise ValueError("provided port is already allocated")
            own.add(wanted)
            return wanted
        size = PORT_MAX - PORT_MIN + 1
        found = self._search(
            lambda offset: PORT_MIN + (self._taken.next_port - PORT_MIN + offset) % size,
            size,
            lambda candidate: taken[candidate] <= 0 and candidate not in own,
        )
        self._taken.next_port = found + 1
        own.add(found)
        return found

    @staticmethod
    def _search(candidate_at: Callable[[int], _T], count: int, is_free: Callable[[_T], bool]) -> _T:
        for offset in range(count):
            candidate = candidate_at(offset)
            if is_free(candidate):
                return candidate
        raise ValueError("range is full")
