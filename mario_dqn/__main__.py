"""The same commands where the `mario_dqn` script is not on the path."""
import sys

from mario_dqn.cli import main

if __name__ == '__main__': sys.exit(main())
