"""What training tells the user, line by line."""

import logging


class Lines(logging.Handler):
    """What the package tells the user; `each` is called with every line."""

    def __init__(self, each=None):
        super().__init__()
        self.each = each

    def __enter__(self):
        self.lines, self.logger = [], logging.getLogger('gluon_fg')
        self.level_before = self.logger.level
        self.logger.addHandler(self)
        self.logger.setLevel(logging.INFO)
        return self.lines

    def emit(self, record):
        self.lines.append(record.getMessage())
        if self.each is not None:
            self.each(record.getMessage())

    def __exit__(self, *exc):
        self.logger.removeHandler(self)
        self.logger.setLevel(self.level_before)
