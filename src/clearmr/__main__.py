"""`python -m clearmr` is `clearmr`."""

from clearmr.cli import main

main()
