"""The report on a run, a model or score files: one page, a file for each of its sections."""
