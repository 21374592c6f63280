"""`python -m vivavoce` is `vivavoce`."""

import sys

from vivavoce.cli import main

if __name__ == "__main__":
    sys.exit(main())
