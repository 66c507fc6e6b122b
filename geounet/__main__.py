"""`python -m geounet` is `geounet`."""

from geounet.cli import main

main()
