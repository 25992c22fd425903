"""What the process that reads MATLAB files runs: variables of a file, as JSON. Nothing of the package is loaded.

SciPy's reader ends its process where a damaged file leads it astray, and takes what memory a file claims.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, List


def plain(value: Any) -> Any:
    """Turn an array into lists, of an array of records a list for each field; whatever is no number into text."""
    import numpy as np

    values = np.atleast_1d(value)
    if values.dtype.names:
        return {name: plain(values[name]) for name in values.dtype.names}
    return [item if isinstance(item, (int, float)) else str(item) for item in values.ravel().tolist()]


def main(path: str, memory: str, names: List[str]) -> None:
    """Print {variable: values} of those variables that the file has; what goes wrong ends this process alone."""
    from scipy.io import loadmat

    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    content = loadmat(path, squeeze_me=True, variable_names=names)
    json.dump({name: plain(content[name]) for name in names if name in content}, sys.stdout)


if __name__ == '__main__':
    main(sys.argv[2], sys.argv[3], sys.argv[4:])  # the first is this file
