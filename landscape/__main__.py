"""`python -m landscape`: the command line."""

from landscape.cli import console

if __name__ == "__main__":
    raise SystemExit(console())
