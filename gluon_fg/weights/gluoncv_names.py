"""Names of GluonCV's parameters in our networks, so that its files can be read into them."""

from __future__ import annotations

import re
from typing import Optional

_RULES = (
    # ResNet v1b on images: resnet50_v1b, and resnet50_v1b_kinetics400 (whose classifier is `output`)
    (re.compile(r'conv1\.(weight)'), r'backbone.stem.0.\1'),
    (re.compile(r'bn1\.(.+)'), r'backbone.stem.1.\1'),
    (re.compile(r'layer([1-4])\.(.+)'), r'backbone.res{stage}.\2'),
    # i3d_resnet50_v1_*
    (re.compile(r'first_stage\.([01])\.(.+)'), r'backbone.stem.\1.\2'),
    (re.compile(r'res_layers\.([0-3])\.(\d+\.(?:conv|bn|downsample).+)'), r'backbone.res{stage}.\2'),
    (re.compile(r'(?:fc|output)\.(.+)'), r'classifier.\1'),
)


def our_name(name: str) -> Optional[str]:
    """Structural name, below `branches`, of a GluonCV parameter; None for one it stores again under another name.

    `fc` of an ImageNet network also becomes `classifier`: take the backbone's alone there.
    """
    for pattern, ours in _RULES:
        match = pattern.fullmatch(name)
        if match:
            first = match.group(1)
            stage = int(first) + (1 if name.startswith('layer') else 2) if first.isdigit() else 0
            return match.expand(ours.replace('{stage}', str(stage)))
    return None
