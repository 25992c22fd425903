#!/usr/bin/env python
"""Score a network on a dataset: the same as `gluon-fg evaluate`."""

import sys

from gluon_fg.cli import main

if __name__ == '__main__':
    main(['evaluate', *sys.argv[1:]])
