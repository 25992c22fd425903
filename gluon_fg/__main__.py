"""`python -m gluon_fg` is the same as `gluon-fg`."""

from .cli import main

if __name__ == '__main__':
    main()
