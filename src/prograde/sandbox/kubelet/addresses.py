"""Addresses for simulated pods and nodes. Nothing listens on them."""

__all__ = ["PodAddresses", "node_address"]

POD_NETWORK_FIRST = (10 << 24) + (244 << 16)
POD_NETWORK_SIZE = 12 << 16
"""10.244.0.0 to 10.255.255.255: room for several hundred thousand pods."""


class PodAddresses:
    """Hands out addresses in order, so that one just given up is not used again soon."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next = 2

    def take(self, wanted: str = "") -> str:
        """Return a free address, `wanted` if it is one.

        Raises:
            RuntimeError: all addresses are in use.
        """
        if wanted and wanted not in self._used:
            self._used.add(wanted)
            return wanted
        for _ in range(POD_NETWORK_SIZE):
            address = _dotted(POD_NETWORK_FIRST + self._next)
            self._next = (self._next + 1) % POD_NETWORK_SIZE
            if address not in self._used and not address.endswith((".0", ".255")):
                self._used.add(address)
                return address
        raise RuntimeError(f"all {POD_NETWORK_SIZE} pod addresses are in use")

    def give_back(self, address: str) -> None:
        self._used.discard(address)


def node_address(index: int) -> str:
    """Return the address of the n-th node."""
    return _dotted((172 << 24) + (18 << 16) + 2 + index)


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
