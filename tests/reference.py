"""Networks in plain NumPy and float64, straight from the papers' equations: what the real ones are compared with."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv(x, w, b=None, stride=(1, 1, 1), pad=None):
    """(N, C, T, H, W) * (O, C, t, h, w); half the kernel is padded unless told otherwise."""
    pad = [k // 2 for k in w.shape[2:]] if pad is None else pad
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3, 4))[:, :, :: stride[0], :: stride[1], :: stride[2]]
    y = np.tensordot(windows, w, axes=([1, 5, 6, 7], [1, 2, 3, 4]))  # (N, T, H, W, O)
    y = np.moveaxis(y, -1, 1)
    return y if b is None else y + b.reshape(1, -1, 1, 1, 1)


def max_pool(x, kernel, stride, pad):
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)], constant_values=-np.inf)
    windows = sliding_window_view(x, kernel, axis=(2, 3, 4))[:, :, :: stride[0], :: stride[1], :: stride[2]]
    return windows.max(axis=(5, 6, 7))


def batch_norm(x, gamma, beta, mean=None, var=None, eps=1e-5):
    """Over the batch, or with the given statistics."""
    axes = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean = x.mean(axes) if mean is None else mean
    var = x.var(axes) if var is None else var
    return (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps) * gamma.reshape(shape) + beta.reshape(shape)


def relu(x):
    return np.maximum(x, 0)


def upsample(x, axes=(-2, -1)):
    """Linear x2 along axes, half-pixel centres, edges repeated: weights 3/4 and 1/4 of the two nearest."""
    for axis in axes:
        size = x.shape[axis]
        here = np.arange(2 * size)
        near = here // 2
        far = np.clip(np.where(here % 2, near + 1, near - 1), 0, size - 1)
        x = 0.75 * np.take(x, near, axis) + 0.25 * np.take(x, far, axis)
    return x


def cross_entropy(z, label):
    z = z - z.max(1, keepdims=True)
    return np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), label]


def filter_bank(x, filters, bias, weight, dense_bias, classes):
    """Responses' maximum, then (z_max, z_xchannel)."""
    r = np.einsum('fc,ncp->nfp', filters.reshape(len(filters), -1), x.reshape(*x.shape[:2], -1)) + bias[:, None]
    r = r.max(-1)
    return r @ weight.T + dense_bias, r.reshape(len(r), classes, -1).mean(-1)


def triangle(in_frames, out_frames):
    """Visible frames of each output: the square triangle of hidden ones, resized row by row with its corners kept."""
    square, seen = np.triu(np.ones((in_frames, in_frames)), 1), np.zeros((out_frames, in_frames), bool)
    for i in range(out_frames):
        at = i * (in_frames - 1) / (out_frames - 1) if out_frames > 1 else in_frames - 1
        for j in range(in_frames):
            seen[i, j] = round(np.interp(at, np.arange(in_frames), square[:, j]), 9) < 0.5
    return seen


def effective(k, seen, normalize='kernel'):
    """Eq. 5 and the rescaling, of each kernel, of each row or none, in float64."""
    w = np.zeros(k.shape)
    for c, i in np.ndindex(*k.shape[:2]):
        row = np.exp(k[c, i, seen[i]] - k[c, i, seen[i]].max())
        row /= row.sum()
        if normalize == 'row' and len(row) > 1:
            row = 2 * (row - row.min()) / (row.max() - row.min() + 1e-6) - 1
        w[c, i, seen[i]] = row
    for of_channel in w if normalize == 'kernel' else ():
        lower = of_channel[seen]
        of_channel[seen] = 1 - 2 * (lower.max() - lower) / max(lower.max() - lower.min(), 1e-3)
    return w


def directional(x, kernels, direction, out_frames, normalize='kernel'):
    """y[n, c, t'] = sum_t w[c, t', t] x[n, c, t], the clip itself turned for the backward part."""
    seen = triangle(x.shape[2], out_frames) if direction != 'none' else np.ones((out_frames, x.shape[2]), bool)
    parts = []
    for name, k in kernels.items():
        turned = name == 'backward'
        # A backward kernel's parameters are in the clip's own order: turning the clip turns them.
        w = effective(k[:, ::-1, ::-1] if turned else k, seen, normalize)
        y = np.einsum('cij,ncjhw->ncihw', w, x[:, :, ::-1] if turned else x)
        parts.append(y[:, :, ::-1] if turned else y)
    return np.concatenate(parts, axis=2)


class TinyDFB:
    """The tiny networks with DFB heads from a dict of parameters; images are clips of one frame.

    `statistics`: 'batch' as in training, or 'running'. Returns the tuple of branches, the fused one first.
    """

    def __init__(self, params, classes, statistics='batch', skip='add', segments=1):
        self.params = {name: value.astype('float64') for name, value in params.items()}
        self.classes, self.statistics, self.skip_kind, self.segments = classes, statistics, skip, segments

    def weight(self, name):
        w = self.params[name + '.weight']
        return w[:, :, None] if w.ndim == 4 else w

    def norm(self, x, name):
        p = [self.params[f'{name}.{part}'] for part in ('gamma', 'beta', 'running_mean', 'running_var')]
        return batch_norm(x, *p) if self.statistics == 'running' else batch_norm(x, *p[:2])

    def block(self, x, name, stride):
        stride = (1, stride, stride)
        y = relu(self.norm(conv(x, self.weight(f'{name}.conv1'), stride=stride), f'{name}.bn1'))
        y = self.norm(conv(y, self.weight(f'{name}.conv2')), f'{name}.bn2')
        if f'{name}.downsample.0.weight' in self.params:
            x = self.norm(conv(x, self.weight(f'{name}.downsample.0'), stride=stride), f'{name}.downsample.1')
        return relu(y + x)

    def stages(self, x):
        """Stage -> its features, 2 to 5."""
        x = conv(x, self.weight('branches.backbone.stem.0'), stride=(1, 2, 2))
        x = relu(self.norm(max_pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)), 'branches.backbone.stem.2'))
        found = {}
        for stage, stride in ((2, 1), (3, 2), (4, 1), (5, 2)):
            x = found[stage] = self.block(x, f'branches.backbone.res{stage}.0', stride)
        return found

    def features(self, x):
        """f5 and what the bank reads."""
        stages = self.stages(x)
        x, f5 = stages[4], stages[5]
        if 'branches.local.stage.0.conv1.weight' not in self.params:
            return f5, f5
        local = upsample(self.block(x, 'branches.local.stage.0', 2))[..., : x.shape[-2], : x.shape[-1]]
        if self.skip_kind != 'none':
            skip = self.norm(conv(x, self.weight('branches.local.skip')), 'branches.local.skip_norm')
            local = relu(local + skip) if self.skip_kind == 'add' else relu(np.concatenate([local, skip], 1))
        return f5, local

    def __call__(self, x):
        p = self.params
        x = x.astype('float64')
        f5, local = self.features(x[:, :, None] if x.ndim == 4 else x)
        logits = [f5.mean((2, 3, 4)) @ p['branches.classifier.weight'].T + p['branches.classifier.bias']]
        if 'branches.bank.filters.weight' in p:
            bank = [
                p[f'branches.bank.{n}']
                for n in ('filters.weight', 'filters.bias', 'classifier.weight', 'classifier.bias')
            ]
            logits += filter_bank(local, *bank, self.classes)
        logits = [z.reshape(-1, self.segments, self.classes).mean(1) for z in logits]
        return tuple(logits) if len(logits) == 1 else (sum(logits), *logits)

    def loss(self, x, label):
        """Eq. 1, summed over the batch."""
        return sum(cross_entropy(z, label).sum() for z in self(x))


class TinyCIDC(TinyDFB):
    """The tiny networks with CIDC (secs. 3.1 to 3.3) from a dict of parameters. Returns (fused, avg, cidc)."""

    def __init__(
        self,
        params,
        direction='both',
        attention=True,
        fusion='time',
        statistics='batch',
        stages=(3, 4, 5),
        normalize='kernel',
    ):
        super().__init__(params, None, statistics)
        self.direction, self.attention, self.fusion, self.used = direction, attention, fusion, stages
        self.normalize = normalize

    def unit(self, x, name):
        kernels = {n: self.params.get(f'{name}.{n}_weight') for n in ('full', 'forward', 'backward')}
        kernels = {n: k for n, k in kernels.items() if k is not None}
        if self.direction == 'both':  # a stack sees one direction alone, the backward one a clip that is turned
            ((way, k),) = kernels.items()
            kernels = {'forward': k if way == 'forward' else k[:, ::-1, ::-1]}
        y = directional(x, kernels, self.direction, next(iter(kernels.values())).shape[1], self.normalize)
        return relu(self.norm(conv(y, self.weight(f'{name}.mix.0')), f'{name}.mix.1'))

    def stack(self, f, prefix):
        """The units of all stages, each stage's output joined into the next."""
        y = None
        for stage in self.used:
            x = f[stage]
            if y is not None:
                if y.shape[-1] != x.shape[-1]:
                    y = average_pool(y)
                y = conv(y, self.weight(f'{prefix}.join{stage}.{"1" if stage == 5 else "0"}'))
                times = y.shape[2] // x.shape[2]
                x = np.concatenate([x] * times, axis=2) if self.direction == 'chained' else np.repeat(x, times, axis=2)
                x = x + y
            y = x
            for i in range(sum(n.startswith(f'{prefix}.units{stage}.') for n in self.params)):
                if f'{prefix}.units{stage}.{i}.mix.0.weight' in self.params:
                    y = self.unit(y, f'{prefix}.units{stage}.{i}')
        return y

    def maps(self, x):
        """F and F_CIDC."""
        f = {stage: v for stage, v in self.stages(x).items() if stage in self.used}
        if self.attention:
            for early, late in ((4, 5), (3, 4)):
                if early in f:
                    weight = 1 / (1 + np.exp(-f[late].mean(1, keepdims=True)))
                    if f[early].shape[-1] != f[late].shape[-1]:
                        weight = upsample(weight)[..., : f[early].shape[-2], : f[early].shape[-1]]
                    f[early] = weight * f[early] + f[early]
        if self.direction != 'both':
            return f[5], self.stack(f, 'branches.cidc')
        turned = {stage: v[:, :, ::-1] for stage, v in f.items()}
        backward = self.stack(turned, 'branches.cidc.backward_stack')[:, :, ::-1]
        return f[5], np.concatenate([self.stack(f, 'branches.cidc.forward_stack'), backward], axis=2)

    def __call__(self, x):
        f5, directed = self.maps(x.astype('float64'))
        w, b = self.params['branches.classifier.weight'], self.params['branches.classifier.bias']
        avg, cidc = (f.mean((2, 3, 4)) for f in (f5, directed))
        if self.fusion == 'channel':
            mine = self.params['branches.cidc_classifier.weight']
            return np.concatenate([avg, cidc], 1) @ np.concatenate([w, mine], 1).T + b, avg @ w.T + b, cidc @ mine.T
        both = avg + cidc if self.fusion == 'sum' else np.concatenate([f5, directed], 2).mean((2, 3, 4))
        if self.fusion == 'time':
            both *= (f5.shape[2] + directed.shape[2]) / f5.shape[2]
        return both @ w.T + b, avg @ w.T + b, cidc @ w.T + b

    def loss(self, x, label):
        return cross_entropy(self(x)[0], label).sum()


class TinyU2S(TinyDFB):
    """The tiny networks with U2S heads (sec. III) from a dict of parameters; images are clips of one frame.

    Returns (fused probabilities, z_U, [z_M,] z_C). `frozen`: the universal network uses its running statistics.
    """

    def __init__(
        self,
        params,
        select='csm',
        mask='gate',
        strength=0.5,
        segments=1,
        statistics='batch',
        frozen=False,
        parts=None,
        similarity='absolute',
    ):
        super().__init__(params, None, statistics, segments=segments)
        self.select, self.mask, self.strength, self.frozen, self.parts = select, mask, strength, frozen, parts
        self.similarity = similarity

    def norm(self, x, name):
        before = self.statistics
        if self.frozen and name.startswith('branches.backbone.'):
            self.statistics = 'running'
        y = super().norm(x, name)
        self.statistics = before
        return y

    def video(self, z):
        return z.reshape(-1, self.segments, z.shape[1]).mean(1)

    def dense(self, x, name):
        return x @ self.params[f'branches.{name}.weight'].T + self.params[f'branches.{name}.bias']

    def of_masks(self, x, category):
        """All M masks, then the average of those chosen for each clip or frame; and z_M."""
        w, b, csm = (self.params[f'branches.masks.{n}'] for n in ('weight', 'bias', 'csm'))
        masks = np.einsum('mc,ncthw->nmthw', w.reshape(len(w), -1), x) + b.reshape(1, -1, 1, 1, 1)
        chosen = []
        for i, of_clip in enumerate(masks):
            own = category[i // self.segments]
            share = np.eye(len(w))[own] if self.select == 'predicted' else csm[:, own] / csm[:, own].sum()
            chosen.append(np.einsum('m,mthw->thw', share, of_clip))
        return np.stack(chosen)[:, None], self.video(masks.mean((2, 3, 4)))

    def w_regular(self):
        w, csm = self.params['branches.masks.weight'], self.params['branches.masks.csm']
        w, pairs = w.reshape(len(w), -1), csm - np.eye(len(csm))
        lengths = np.sqrt((w**2).sum(1))
        cosine = w @ w.T / lengths[:, None] / lengths[None]
        if self.similarity != 'signed':
            cosine = np.abs(cosine) if self.similarity == 'absolute' else np.maximum(cosine, 0)
        return (pairs * cosine).sum() / pairs.sum() if pairs.any() else 0.0

    def __call__(self, x, label=None):
        x = x.astype('float64')
        stages = self.stages(x[:, :, None] if x.ndim == 4 else x)
        x_u, x_c = stages[5], stages[3]
        for stage, stride in ((4, 1), (5, 2)):
            x_c = self.block(x_c, f'branches.specific.res{stage}.0', stride)
        z_u, z_m = self.video(self.dense(x_u.mean((2, 3, 4)), 'classifier')), None
        if 'branches.masks.weight' in self.params:
            mask, z_m = self.of_masks(x_u, label if self.select == 'oracle' else z_u.argmax(1))
            scale = self.params.get('branches.gate.scale')
            if scale is not None:  # otherwise the bare sigmoid of networks without one
                axes = tuple(range(1, mask.ndim))
                mask = scale * (mask - mask.mean(axes, keepdims=True)) / np.sqrt(mask.var(axes, keepdims=True) + 1e-5)
            gate = 1 / (1 + np.exp(-mask))
            x_c = x_c * gate if self.mask == 'gate' else x_c + x_c * gate
        z_c = self.video(self.dense(x_c.mean((2, 3, 4)), 'specific_classifier'))
        logits = {'universal': z_u, 'bridge': z_m, 'specific': z_c}
        logits = {name: z for name, z in logits.items() if z is not None}
        fused = [softmax(z) for name, z in logits.items() if self.parts is None or name in self.parts]
        return (sum(fused) / len(fused), *logits.values())

    def loss(self, x, label):
        """Eq. 3, summed over the batch; without L_U where the universal network is frozen."""
        logits = self(x, label)[2 if self.frozen else 1 :]
        total = sum(cross_entropy(z, label).sum() for z in logits)
        if 'branches.masks.weight' in self.params:
            total += self.strength * len(label) * self.w_regular()
        return total


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def average_pool(x):
    """2x2 in space; what hangs over the edge is averaged over what is there."""
    h, w = x.shape[-2:]
    parts = [[x[..., i : i + 2, j : j + 2].mean((-1, -2)) for j in range(0, w, 2)] for i in range(0, h, 2)]
    return np.stack([np.stack(row, -1) for row in parts], -2)
