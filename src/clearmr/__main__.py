"""`python -m clearmr` is `clearmr`."""

import sys

from clearmr.cli import main

if __name__ == "__main__":
    sys.exit(main())
