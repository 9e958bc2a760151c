"""Run the command line with ``python -m audionmf``."""

import sys

from audionmf.cli import main

if __name__ == "__main__":
    sys.exit(main())
