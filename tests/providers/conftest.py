"""The server that stands in for those of vendors."""

from tests.providers.fake_server import server

__all__ = ["server"]
