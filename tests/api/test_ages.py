from datetime import timedelta

import pytest

from prograde.api.ages import human_duration


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (timedelta(seconds=-1.5), "<invalid>"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=-0.2), "0s"),
        (timedelta(seconds=0), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=119.9), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=3, seconds=20), "3m20s"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=10, seconds=59), "10m"),
        (timedelta(hours=2) - timedelta(milliseconds=1), "119m"),
        (timedelta(hours=3) - timedelta(seconds=1), "179m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=4) - timedelta(milliseconds=1), "3h59m"),
        (timedelta(hours=8), "8h"),
        (timedelta(hours=47, minutes=59), "47h"),
        (timedelta(days=2), "2d"),
        (timedelta(days=3, hours=4), "3d4h"),
        (timedelta(days=7), "7d"),
        (timedelta(days=8), "8d"),
        (timedelta(days=729), "729d"),
        (timedelta(days=730), "2y"),
        (timedelta(days=735), "2y5d"),
        (timedelta(days=8 * 365), "8y"),
        (timedelta(days=9 * 365 + 20), "9y"),
    ],
)
def test_ages_read_as_kubernetes_tools_print_them(elapsed: timedelta, text: str) -> None:
    assert human_duration(elapsed) == text
