"""The one way in which a measurement fails."""

__all__ = ["ProviderError"]


class ProviderError(Exception):
    """A measurement cannot be taken. The text names the cause, and is shown to users."""
