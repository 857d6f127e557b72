"""Log lines in the two forms that operators' pipelines parse: ``key=value`` text and one JSON object per line.

Code logs through the standard library and hands structured fields over with `fields`:

    log.info("Started syncing rollout", extra=fields(namespace="shop", rollout="cart", generation=3))

Both forms carry ``time`` (RFC 3339, UTC), ``level`` (debug, info, warning, error, fatal) and ``msg``.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

__all__ = ["LEVELS", "JsonFormatter", "TextFormatter", "fields", "parse_level", "set_up_logging"]

LEVELS: Mapping[str, int] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}

_NAMES = {logging.CRITICAL: "fatal", logging.WARNING: "warning"}
_COLOURS = {logging.DEBUG: "37", logging.INFO: "36", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


def fields(**values: object) -> dict[str, object]:
    """Return the ``extra`` argument of a log call that attaches `values` as structured fields."""
    return {"prograde_fields": values}


def parse_level(text: str) -> int:
    """Return the numeric level.

    Raises:
        ValueError: no such level; the message is the one that scripts match.
    """
    try:
        return LEVELS[text.lower()]
    except KeyError:
        raise ValueError(f'not a valid logrus Level: "{text}"') from None


class TextFormatter(logging.Formatter):
    """``time="…" level=info msg="…" key=value``; short and coloured on a terminal."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        values = _fields_of(record, self)
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '36')}m{_level_name(record).upper()[:4]}\x1b[0m"
            head = f"{level}[{_time(record)[11:19]}] {record.getMessage():<44}"
        else:
            head = f"time={_quote(_time(record))} level={_level_name(record)} msg={_quote(record.getMessage())}"
        return " ".join([head, *(f"{key}={_quote(_text(value))}" for key, value in sorted(values.items()))]).rstrip()


class JsonFormatter(logging.Formatter):
    """One JSON object per line, keys sorted."""

    def format(self, record: logging.LogRecord) -> str:
        values = _fields_of(record, self)
        line = {**values, "time": _time(record), "level": _level_name(record), "msg": record.getMessage()}
        return json.dumps(line, sort_keys=True, default=str, ensure_ascii=False)


def set_up_logging(level: int, form: Literal["", "text", "json"] = "", stream: TextIO | None = None) -> None:
    """Send the whole process's log to `stream` (stderr); ``""`` means text, coloured when `stream` is a terminal."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(colour=form == "" and stream.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The HTTP library logs every request of the servers at info level; ours are health probes and scrapes.
    logging.getLogger("aiohttp.access").setLevel(max(level, logging.WARNING))
    logging.getLogger("asyncio").setLevel(max(level, logging.WARNING))


def _fields_of(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    values = dict(getattr(record, "prograde_fields", {}))
    if record.exc_info:
        values["error"] = str(record.exc_info[1])
        values["stack"] = formatter.formatException(record.exc_info)
    return values


def _level_name(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, record.levelname.lower())


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quote(text: str) -> str:
    """Quote unless the text is one plain word, as log parsers of ``key=value`` lines expect."""
    if text and all(character.isalnum() or character in "-._/@^+" for character in text):
        return text
    return json.dumps(text, ensure_ascii=False)
