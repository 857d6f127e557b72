import io
import json
import logging
from collections.abc import Iterator

import pytest

from prograde.telemetry.logs import JsonFormatter, TextFormatter, fields, parse_level, set_up_logging


def record(message: str, level: int = logging.INFO, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("prograde", level, __file__, 1, message, (), None)
    made.created = 1_700_000_000.25
    made.__dict__.update(fields(**values))
    return made


def test_text_lines_are_key_value_with_quotes_only_where_needed() -> None:
    line = TextFormatter().format(record("Started syncing rollout", rollout="cart", namespace="shop", generation=3))
    assert line == (
        'time="2023-11-14T22:13:20Z" level=info msg="Started syncing rollout" generation=3 namespace=shop rollout=cart'
    )


def test_text_quotes_empty_values_and_writes_booleans_in_lower_case() -> None:
    line = TextFormatter().format(record("x", namespaced=True, instanceID=""))
    assert line.endswith('msg=x instanceID="" namespaced=true')


def test_json_lines_are_one_object_with_the_fields_beside_time_level_and_msg() -> None:
    line = json.loads(JsonFormatter().format(record('a "b"', logging.WARNING, rollout="cart")))
    assert line == {"time": "2023-11-14T22:13:20Z", "level": "warning", "msg": 'a "b"', "rollout": "cart"}


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_becomes_fields_of_the_same_line(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("broken")
    except ValueError as err:
        made = record("Recovered from panic")
        made.exc_info = (type(err), err, err.__traceback__)
    line = formatter.format(made)
    assert "\n" not in line
    assert "broken" in line
    assert "Traceback" in line


@pytest.mark.parametrize(
    ("text", "level"),
    [("info", logging.INFO), ("WARN", logging.WARNING), ("trace", logging.DEBUG), ("fatal", logging.CRITICAL)],
)
def test_levels_are_those_of_the_reference(text: str, level: int) -> None:
    assert parse_level(text) == level


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(ValueError, match='^not a valid logrus Level: "loud"$'):
        parse_level("loud")


@pytest.fixture
def _restore_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_restore_root_logger")
def test_colour_appears_only_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, coloured in ((io.StringIO(), False), (Terminal(), True)):
        set_up_logging(logging.INFO, stream=stream)
        logging.getLogger("prograde.x").info("hello", extra=fields(a=1))
        assert ("\x1b[" in stream.getvalue()) is coloured
        assert "hello" in stream.getvalue()
