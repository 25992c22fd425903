#!/usr/bin/env python
"""Train a network: the same as `gluon-fg train`, for `horovodrun -np 8 python scripts/train.py`."""

import sys

from gluon_fg.cli import main

if __name__ == '__main__':
    main(['train', *sys.argv[1:]])
