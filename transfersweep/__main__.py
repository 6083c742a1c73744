"""The command `transfersweep`, which begins with a look at whose packages Python finds."""

import sys

from transfersweep import check_packages


def main() -> None:
    """Run the command line, or say why it cannot be the right one."""
    try:
        check_packages()
    except ImportError as error:
        sys.exit(str(error))
    from search.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
