#!/usr/bin/env python
"""Say what happens in videos: the same as `gluon-fg predict`."""

import sys

from gluon_fg.cli import main

if __name__ == '__main__':
    main(['predict', *sys.argv[1:]])
