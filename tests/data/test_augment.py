"""Changes of training clips against Pillow and torchvision's table, and the same in all frames."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from gluon_fg.data.augment import MAX_MAGNITUDE, OPERATIONS, Augment, erased_window, operate

FILL = (124, 116, 104)
# torchvision 0.11, transforms/autoaugment.py, RandAugment._augmentation_space: the last of 31 bins, and the sign. Its
# posterize leaves 8 - 4 bits, its solarize begins at 0 in place of 256; a frame of 331 pixels is moved by 150.
TORCHVISION = {
    'identity': (0.0, False),
    'shear_x': (0.3, True),
    'shear_y': (0.3, True),
    'translate_x': (150.0 / 331.0, True),
    'translate_y': (150.0 / 331.0, True),
    'rotate': (30.0, True),
    'brightness': (0.9, True),
    'color': (0.9, True),
    'contrast': (0.9, True),
    'sharpness': (0.9, True),
    'posterize': (4.0, False),
    'solarize': (256.0, False),
    'auto_contrast': (0.0, False),
    'equalize': (0.0, False),
}


def picture(height=40, width=56, seed=0):
    """Smooth, of all colors, no extreme values: (H, W, 3)."""
    noise = np.random.default_rng(seed).random((5, 7, 3))
    return (cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 180 + 30).astype(np.uint8)


def clip(frames=4, **kwargs):
    return np.stack([picture(seed=i, **kwargs) for i in range(frames)])


def test_operations_and_ranges_are_the_published_ones():
    assert OPERATIONS == TORCHVISION
    assert not any(name in OPERATIONS for name in ('flip', 'mirror', 'invert'))


ENHANCERS = {
    'brightness': ImageEnhance.Brightness,
    'contrast': ImageEnhance.Contrast,
    'color': ImageEnhance.Color,
    'sharpness': ImageEnhance.Sharpness,
}


@pytest.mark.parametrize('value', [-0.9, -0.27, 0.45, 0.9])
@pytest.mark.parametrize('name', sorted(ENHANCERS))
def test_enhancements_are_pillows(name, value):
    image = np.random.default_rng(2).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    expected = np.asarray(ENHANCERS[name](Image.fromarray(image)).enhance(1 + value)).astype(int)
    got = operate(image[None], name, value)[0].astype(int)
    # Pillow cuts fractions off where OpenCV rounds; its gray may differ by 1 from OpenCV's
    assert np.abs(got - expected).max() <= (2 if name == 'color' else 1)
    assert np.abs(got - image).max() > 15


@pytest.mark.parametrize(
    'name, value, pillow',
    [
        ('posterize', 4.0, lambda image: ImageOps.posterize(image, 4)),
        ('posterize', 1.2, lambda image: ImageOps.posterize(image, 7)),
        ('solarize', 256.0, lambda image: ImageOps.solarize(image, 0)),
        ('solarize', 156.0, lambda image: ImageOps.solarize(image, 100)),
        ('auto_contrast', 0.0, ImageOps.autocontrast),
        ('equalize', 0.0, ImageOps.equalize),
    ],
)
def test_tables_are_pillows_to_the_bit(name, value, pillow):
    image = picture()
    expected = np.asarray(pillow(Image.fromarray(image)))
    assert np.array_equal(operate(image[None], name, value)[0], expected) and not np.array_equal(expected, image)
    flat = np.full((1, 6, 6, 3), 77, np.uint8)  # one color: nothing to spread
    assert name in ('posterize', 'solarize') or np.array_equal(operate(flat, name, value), flat)


@pytest.mark.parametrize(
    'name, value, matrix',
    [  # Pillow's: (x, y) of the result comes from (a x + b y + c, d x + e y + f), pixel centers at .5
        ('shear_x', 0.3, (1, 0.3, 0, 0, 1, 0)),
        ('shear_x', -0.12, (1, -0.12, 0, 0, 1, 0)),
        ('shear_y', 0.3, (1, 0, 0, 0.3, 1, 0)),
        ('translate_x', 0.25, (1, 0, 14, 0, 1, 0)),
        ('translate_y', -0.45, (1, 0, 0, 0, 1, -18)),
    ],
)
def test_shears_and_translations_are_pillows(name, value, matrix):
    image = picture()
    pil = Image.fromarray(image).transform((56, 40), Image.AFFINE, matrix, Image.BILINEAR, fillcolor=FILL)
    got = operate(image[None], name, value, FILL)[0]
    ones = operate(np.full_like(image, 255)[None], name, value, (0, 0, 0))[0, ..., 0]
    inside = cv2.erode(ones, np.ones((3, 3))) == 255
    assert np.abs(got.astype(int) - np.asarray(pil))[inside].max() <= 2 and 0.4 < inside.mean() < 0.95
    assert (got[ones == 0] == FILL).all() and (ones == 0).any()


def test_rotation_is_pillows():
    image = picture(41, 41)
    expected = np.asarray(Image.fromarray(image).rotate(30, Image.BILINEAR)).astype(int)
    got = operate(image[None], 'rotate', 30.0, (0, 0, 0))[0].astype(int)
    inside = cv2.erode((expected.sum(axis=2) > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(got - expected)[inside].max() <= 3 and inside.mean() > 0.6


@pytest.mark.parametrize('name', sorted(OPERATIONS))
def test_an_operation_is_the_same_for_all_frames(name):
    """Equal frames stay equal, and a pixel's color alone says what it becomes, whichever frame it is in."""
    value = OPERATIONS[name][0] * 0.6
    still = np.repeat(picture()[None], 4, axis=0)
    assert (operate(still, name, value, FILL) == operate(still, name, value, FILL)[:1]).all()
    frames = clip()
    changed = operate(frames, name, value, FILL)
    assert changed.shape == frames.shape and changed.dtype == np.uint8
    if name in ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y', 'sharpness'):
        each = np.concatenate([operate(frame[None], name, value, FILL) for frame in frames])
        assert np.array_equal(changed, each)  # what it does depends on no statistics
    else:
        keys = frames.reshape(-1, 3).astype(int) @ [65536, 256, 1]
        order = np.argsort(keys, kind='stable')
        same = keys[order][1:] == keys[order][:-1]
        values = changed.reshape(-1, 3)[order]
        assert (values[1:][same] == values[:-1][same]).all()


@pytest.mark.parametrize('name', [name for name, (largest, _) in OPERATIONS.items() if largest])
def test_magnitude_zero_changes_nothing_and_more_changes_more(name):
    frames = clip()
    change = [
        np.abs(operate(frames, name, OPERATIONS[name][0] * m / 10).astype(int) - frames).mean() for m in range(11)
    ]
    assert change[0] == 0 and change[10] > change[3] > 0


def test_frames_from_a_mirror_are_taken():
    """A mirrored crop is a view with steps backward."""
    frames = clip()[:, 3:30, ::-1][:, :, 4:40]
    for name, (largest, _) in OPERATIONS.items():
        expected = operate(frames.copy(), name, largest)
        assert np.array_equal(operate(frames, name, largest), expected)


def test_randaugment_draws_two_operations_alike_and_signs():
    seen = {name: 0 for name in OPERATIONS}
    frames = clip(1, height=24, width=24)
    single = {
        name: [operate(frames, name, sign * value * 0.5, FILL) for sign in ((1, -1) if signed else (1,))]
        for name, (value, signed) in OPERATIONS.items()
    }
    rng = np.random.default_rng(0)
    pairs = 0
    for _ in range(600):
        changed = Augment(randaugment=5, fill=FILL)(frames, rng)
        for name, results in single.items():
            seen[name] += any(np.array_equal(changed, result) for result in results)
        pairs += not any(np.array_equal(changed, r) for results in single.values() for r in results)
    assert min(seen.values()) > 0 and pairs > 400  # identity beside another leaves that one alone: 1 of 14, twice


def test_color_jitter_keeps_its_range_and_order_is_drawn():
    gray = np.full((2, 4, 4, 3), 100, np.uint8)  # contrast and saturation do nothing to it
    levels = [int(Augment(color_jitter=0.4)(gray, np.random.default_rng(i))[0, 0, 0, 0]) for i in range(300)]
    assert 60 <= min(levels) < 64 and 136 < max(levels) <= 140 and abs(np.mean(levels) - 100) < 4
    assert all(
        (Augment(color_jitter=0.4)(gray, np.random.default_rng(i)) == level).all() for i, level in enumerate(levels[:9])
    )


@given(height=st.integers(4, 80), width=st.integers(4, 80), seed=st.integers(0, 2**32))
def test_an_erased_rectangle_has_the_published_size(height, width, seed):
    top, left, h, w = erased_window(height, width, np.random.default_rng(seed))
    assert 0 <= top <= height - h and 0 <= left <= width - w
    if h and w and min(height, width) > 30:
        assert 0.01 < h * w / (height * width) < 0.36 and 0.25 < h / w < 3.9


def test_erasing_takes_the_same_rectangle_from_all_frames():
    frames, erased = clip(), 0
    for seed in range(200):
        before = frames.copy()
        changed = Augment(erase=0.25, fill=FILL)(frames, np.random.default_rng(seed))
        assert np.array_equal(frames, before)  # a cached clip must stay as it is
        different = (changed != frames).any(axis=-1)
        assert (different == different[0]).all() and (changed[different] == FILL).all()
        erased += different.any()
    assert 30 < erased < 70
    assert Augment(erase=1.0, fill=FILL)(np.zeros((1, 2, 2, 3), np.uint8), np.random.default_rng(0)).shape == (
        1,
        2,
        2,
        3,
    )


def test_nothing_is_drawn_or_copied_where_all_is_off():
    frames, rng = clip(), np.random.default_rng(3)
    assert Augment()(frames, rng) is frames and rng.random() == np.random.default_rng(3).random()
    assert MAX_MAGNITUDE == 10
