"""The command `transfersweep`: checks that Python finds the right packages, then runs the command line."""

import sys

from transfersweep import check_packages


def main() -> None:
    """Run the command line, or exit with a message if Python finds foreign packages."""
    try:
        check_packages()
    except ImportError as error:
        sys.exit(str(error))
    from search.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
