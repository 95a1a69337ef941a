"""`python -m edgecifar` is the command line."""

from edgecifar.cli import main

if __name__ == "__main__":
    main()
