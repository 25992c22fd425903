#!/usr/bin/env python
"""Run studies and write their tables.

    python scripts/study.py configs/studies/dfb_synthfg.yaml --out runs/dfb_study --jobs 2

Results go to model_zoo/studies/<name>.json and .md (or to the folder --results). Stopped and started again, finished
runs are kept. Runs lie in a folder of the name of the config that they share, where another study on that config finds
those of methods with the same name and settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', nargs='+', help='YAML of configs/studies')
    parser.add_argument('--out', required=True, help='folder for the runs')
    parser.add_argument('--results', help='folder for the tables (default: model_zoo/studies)')
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, one thread each')
    parser.add_argument(
        '--set', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='override for every run'
    )
    args = parser.parse_args()
    from gluon_fg.training import study

    common = dict(text.split('=', 1) for text in args.set if '=' in text)
    if len(common) != len(args.set):
        raise errors.UserError('--set: write overrides as section.key=value')
    folder = Path(args.results or Path(__file__).resolve().parents[1] / 'model_zoo' / 'studies')
    for path, config in [(path, study.load_study(path)) for path in args.study]:
        runs = Path(args.out) / Path(config.config).stem
        results = study.Study(config, runs, args.jobs, common).run()
        target = folder / f'{Path(path).stem}.json'
        study.save_results(results, target)
        print(study.markdown_table(results), end='')
        print(f'written to {target} and {target.with_suffix(".md")}')


if __name__ == '__main__':
    errors.run(main)
