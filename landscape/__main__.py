"""`python -m landscape`: the command line."""

from landscape.cli import main

raise SystemExit(main())
