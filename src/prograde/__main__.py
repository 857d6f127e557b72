"""``python -m prograde``: the same as the ``prograde`` command."""

from prograde.cli.main import main

if __name__ == "__main__":
    main()
