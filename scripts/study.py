#!/usr/bin/env python
"""Run a study and write its table.

    python scripts/study.py configs/studies/dfb_synthfg.yaml --out runs/dfb_study --jobs 2

Results go to model_zoo/studies/<name>.json and .md (or --results). Stopped and started again, finished runs are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gluon_fg import errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', help='YAML of configs/studies')
    parser.add_argument('--out', required=True, help='folder for the runs')
    parser.add_argument('--results', help='JSON to write (default: model_zoo/studies/<name of the study>.json)')
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, one thread each')
    parser.add_argument(
        '--set', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='override for every run'
    )
    args = parser.parse_args()
    from gluon_fg.training import study

    common = dict(text.split('=', 1) for text in args.set if '=' in text)
    if len(common) != len(args.set):
        raise errors.UserError('--set: write overrides as section.key=value')
    results = study.Study(study.load_study(args.study), args.out, args.jobs, common).run()
    target = Path(
        args.results or Path(__file__).resolve().parents[1] / 'model_zoo' / 'studies' / f'{Path(args.study).stem}.json'
    )
    study.save_results(results, target)
    print(study.markdown_table(results), end='')
    print(f'written to {target} and {target.with_suffix(".md")}')


if __name__ == '__main__':
    errors.run(main)
