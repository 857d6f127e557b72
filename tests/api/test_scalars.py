"""Scalars: int-or-string in its four readings, durations, quantities, times, Go text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prograde.api.scalars import (
    InvalidDuration,
    InvalidQuantity,
    InvalidTime,
    canonical_quantity,
    format_duration,
    format_float,
    format_time,
    go_quote,
    integer_value,
    parse_duration,
    parse_duration_nanoseconds,
    parse_integer,
    parse_quantity,
    parse_time,
    pause_seconds,
    scaled_value,
    unscaled_value,
    whole_seconds,
)

# --- Int-or-string --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [
        pytest.param(3, 10, 3, 3, id="an integer stands for itself"),
        pytest.param(30, 10, 30, 30, id="also above the total"),
        pytest.param("25%", 10, 3, 2, id="a percentage is rounded"),
        pytest.param("25", 10, 3, 2, id="a string without percent sign is a percentage, too"),
        pytest.param("%2%5%", 10, 3, 2, id="all percent signs are dropped"),
        pytest.param("100%", 7, 7, 7, id="all"),
        pytest.param("150%", 4, 6, 6, id="more than all"),
        pytest.param("1%", 1, 1, 0, id="at least one when rounded up"),
        pytest.param("0%", 10, 0, 0, id="none"),
        pytest.param("-25%", 10, -2, -3, id="negative"),
        pytest.param("some", 10, 0, 0, id="no number counts as 0"),
        pytest.param("2.5%", 10, 0, 0, id="no fractions"),
        pytest.param(" 25%", 10, 0, 0, id="no spaces"),
        pytest.param("", 10, 0, 0, id="empty"),
    ],
)
def test_maxsurge_and_maxunavailable_strings_are_percentages(value, total, up, down):
    assert scaled_value(value, total, round_up=True) == up
    assert scaled_value(value, total, round_up=False) == down


@given(st.integers(0, 1000), st.integers(0, 10_000))
def test_rounding_up_and_down_differ_by_at_most_one(percent, total):
    up = scaled_value(f"{percent}%", total, round_up=True)
    down = scaled_value(f"{percent}%", total, round_up=False)
    assert down * 100 <= percent * total <= up * 100
    assert up - down in (0, 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        ("0", 0),
        ("0%", 0),
        ("25%", 25),
        ("25", 25),
        ("-5%", 0),
        ("5%%", 0),
        ("x", 0),
        ("", 0),
    ],
)
def test_the_zero_check_takes_the_number_before_a_single_percent_sign(value, expected):
    assert unscaled_value(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        (3, 3),
        ("3", 3),
        ("+3", 3),
        ("-1", -1),
        (" 3", 0),
        ("3 ", 0),
        ("3%", 0),
        ("{{args.n}}", 0),
        ("1_0", 0),
    ],
)
def test_a_metric_number_that_cannot_be_read_is_0(value, expected):
    assert integer_value(value) == expected


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "-9223372036854775809", "1" * 5000, "", "+", "0x1", "1.0", "١"]
)
def test_what_is_no_64_bit_integer_is_none(text):
    assert parse_integer(text) is None


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (None, 0),
        (10, 10),
        (0, 0),
        (-5, -5),
        ("10", 10),
        ("-10", -10),
        ("10s", 10),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1ms", 0),
        ("1500ms", 1),
        ("-1500ms", -1),
        ("1z", -1),
        ("", -1),
        ("20000000000", -1),
        ("2147483647", 2147483647),
        ("2147483648", -1),
        (2147483648, -1),
        ("600000h", -1),
    ],
)
def test_a_pause_is_seconds_or_a_duration_and_minus_one_if_it_cannot_be_read(duration, expected):
    assert pause_seconds(duration) == expected


# --- Durations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("1ns", 1),
        ("1us", 1_000),
        ("1\u00b5s", 1_000),
        ("1\u03bcs", 1_000),
        ("1ms", 1_000_000),
        ("5s", 5_000_000_000),
        ("1m", 60_000_000_000),
        ("1h", 3_600_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-1.5s", -1_500_000_000),
        ("+3s", 3_000_000_000),
        ("1h1h", 7_200_000_000_000),
        ("0.3333333333333333333h", 1_199_999_999_999),
        ("9223372036854775807ns", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
    ],
)
def test_a_go_duration_is_read_exactly(text, nanoseconds):
    assert parse_duration_nanoseconds(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("30", 'time: missing unit in duration "30"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h3", 'time: missing unit in duration "1h3"'),
        (".s", 'time: invalid duration ".s"'),
        ("s", 'time: invalid duration "s"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("??", 'time: invalid duration "??"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("1" * 9999 + "s", f'time: invalid duration "{"1" * 9999}s"'),
    ],
)
def test_a_malformed_duration_gives_the_message_of_go(text, message):
    with pytest.raises(InvalidDuration) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=1), "1\u00b5s"),
        (timedelta(milliseconds=1.5), "1.5ms"),
        (timedelta(milliseconds=100), "100ms"),
        (timedelta(seconds=1), "1s"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=60), "1m0s"),
        (timedelta(hours=1, minutes=30), "1h30m0s"),
        (timedelta(days=2), "48h0m0s"),
        (timedelta(seconds=-90), "-1m30s"),
    ],
)
def test_a_duration_is_written_as_go_does(duration, text):
    assert format_duration(duration) == text


@given(st.timedeltas(timedelta(days=-1000), timedelta(days=1000)))
def test_a_written_duration_reads_back_the_same(duration):
    assert parse_duration(format_duration(duration)) == duration


def test_a_duration_is_cut_towards_zero_to_microseconds():
    assert parse_duration("1999ns") == timedelta(microseconds=1)
    assert parse_duration("-1999ns") == timedelta(microseconds=-1)


# --- Quantities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2000m", "2"),
        ("0.15", "150m"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000M", "1G"),
        ("8192M", "8192M"),
        ("1", "1"),
        ("1000", "1k"),
        ("100000", "100k"),
        ("1023Ki", "1023Ki"),
        ("512", "512"),
        ("1024", "1024"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("0.1Ki", "102400m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1500e3", "1500e3"),
        ("1e-3", "1e-3"),
        ("12e2", "1200"),
        ("1e1", "10"),
        ("100m", "100m"),
        ("1u", "1u"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1.1n", "2n"),
        ("-0.1n", "-1n"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1", "-1"),
        ("+1", "1"),
        ("-1Gi", "-1Gi"),
        (".5", "500m"),
        ("5.", "5"),
        ("1E", "1E"),
        ("8E", "8E"),
        ("9Ei", "9223372036854775807"),
        ("1e400", "9223372036854775807"),
        (" 1 ", "1"),
        (1, "1"),
        (2.5, "2500m"),
        (0.15, "150m"),
        (1000, "1k"),
        (1e22, "9223372036854775807"),
    ],
)
def test_a_quantity_has_one_canonical_spelling(value, expected):
    assert canonical_quantity(value) == expected


@pytest.mark.parametrize(
    "text", ["", ".", "x", "1x", "1 Gi", "1kk", "1Gi5", "--1", "1e", "1_000", "Gi", "1Ki "[:-1] + "x"]
)
def test_what_is_no_quantity_is_an_error_that_shows_it(text):
    with pytest.raises(InvalidQuantity) as caught:
        parse_quantity(text)
    assert go_quote(text) in str(caught.value)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["n", "u", "m", "", "k", "Ki", "Mi", "e3"]))
def test_the_canonical_spelling_keeps_the_value_and_is_stable(number, suffix):
    quantity = parse_quantity(f"{number}{suffix}")
    again = parse_quantity(str(quantity))
    assert again.nano == quantity.nano
    assert str(again) == str(quantity)


@pytest.mark.parametrize(("text", "expected"), [("1n", "1m"), ("1500u", "2m"), ("-1500u", "-2m"), ("1Gi", "1Gi")])
def test_rounding_to_milli_goes_away_from_zero(text, expected):
    assert str(parse_quantity(text).rounded_up_to_milli()) == expected


# --- Times ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.999999999Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_whole_seconds_in_utc(text, expected):
    time = parse_time(text)
    assert time == expected
    assert time.utcoffset() == timedelta()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05Z",
        "2026-13-02T03:04:05Z",
        "now",
        "20260102T030405Z",
    ],
)
def test_what_is_no_rfc_3339_time_is_an_error_that_shows_it(text):
    with pytest.raises(InvalidTime) as caught:
        parse_time(text)
    assert go_quote(text) in str(caught.value)


def test_a_time_is_written_in_utc_without_fraction():
    time = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(time) == "2026-01-02T01:04:05Z"


@given(
    st.integers(0, 7_000_000_000_000_000).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
)
def test_a_written_time_reads_back_as_its_whole_seconds(time):
    assert parse_time(format_time(time)) == whole_seconds(time)


# --- Go text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ("", '""'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a\\b", '"a\\\\b"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("é世", '"é世"'),
        ("\u200b", '"\\u200b"'),
        ("\u00a0", '"\\u00a0"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_text_is_quoted_as_go_does(text, expected):
    assert go_quote(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (5, "5"),
        (100, "100"),
        (0.5, "0.5"),
        (-2.5, "-2.5"),
        (123456, "123456"),
        (123456.5, "123456.5"),
        (999999, "999999"),
        (1000000, "1e+06"),
        (1234567, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.25e-7, "1.25e-07"),
        (1e100, "1e+100"),
    ],
)
def test_a_float_is_written_as_go_does(value, expected):
    assert format_float(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_float_reads_back_the_same(value):
    assert float(format_float(value)) == value
