import pytest

from prograde.cli.table import align, visible_width


def test_columns_line_up_and_colours_take_no_room() -> None:
    assert align([["NAME", "X"], ["\x1b[32mok\x1b[0m", "longer"], ["é", ""]]) == [
        "NAME  X     ",
        "\x1b[32mok\x1b[0m    longer",
        "é           ",
    ]


def test_minimum_widths_hold() -> None:
    assert align([["A", "B"]], minimum=(3, 2)) == ["A    B "]


def test_no_rows_are_no_lines() -> None:
    assert align([]) == []


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("\x1b[94m◌\x1b[0m", 1)])
def test_visible_width(text: str, width: int) -> None:
    assert visible_width(text) == width
