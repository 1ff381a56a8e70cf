"""Where every command begins: the `mario_dqn` script, and `python -m mario_dqn` where that is not on the path."""
import sys


def main():
    "Run the command line; its code for the system. Ctrl-C while it is imported has the answer that it has later."
    try: from mario_dqn.cli import main as run
    except KeyboardInterrupt:
        print('mario_dqn: interrupted.', file=sys.stderr)
        return 130
    return run()


if __name__ == '__main__': sys.exit(main())
