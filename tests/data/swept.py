"""Films of every container and codec that can be written here, with groups of pictures of several lengths.

Run as a program (`python swept.py FOLDER`): decord's libvpx gets in the way of PyAV's encoder in one process.
"""

import sys
from pathlib import Path

import av
from numbered import numbered_frame

FRAMES, HEIGHT, WIDTH = 30, 48, 64
GROUPS = (4, 13)
CODECS = {  # by ending; -b: with frames that are shown later than others
    'avi': 'libx264 libx264-b mpeg4 mpeg4-b mpeg2video mpeg2video-b mpeg1video mjpeg msmpeg4v2 msmpeg4 wmv1 wmv2 flv '
    'h263 ffv1 huffyuv utvideo png rawvideo libvpx libvpx-vp9',
    'mkv': 'libx264 libx264-b libx265 mpeg4 mpeg4-b mpeg2video-b mjpeg ffv1 prores libvpx libvpx-vp9',
    'mp4': 'libx264 libx264-b libx265 mpeg4 mpeg4-b mpeg2video-b mjpeg libvpx-vp9',
    'mov': 'libx264-b prores qtrle png',
    'flv': 'flv libx264 libx264-b',
    'ts': 'libx264 libx264-b libx265 mpeg4 mpeg2video mpeg2video-b mpeg1video',
    'mpg': 'mpeg1video mpeg2video mpeg2video-b',
    'wmv': 'wmv1 wmv2 msmpeg4',
    '3gp': 'h263',
    'nut': 'mpeg4-b ffv1',
    'mxf': 'mpeg2video',
    'h264': 'libx264-b',
    'm4v': 'mpeg4-b',
    'gif': 'gif',
}
PIXELS = {'huffyuv': 'yuv422p', 'png': 'rgb24', 'prores': 'yuv422p10le', 'qtrle': 'rgb24', 'gif': 'rgb8'}
PIXELS.update(mjpeg='yuvj420p', utvideo='yuv422p')


def films(ending):
    """(name, encoder with -b or not, group) of each film of a container."""
    return [(f'{kind}-{group}.{ending}', kind, group) for kind in CODECS[ending].split() for group in GROUPS]


def write(path, kind, group):
    """Encode a film of numbered frames with a key frame every so many frames."""
    codec = kind[:-2] if kind.endswith('-b') else kind
    options = {'g': str(group), 'bf': '2' if kind.endswith('-b') else '0'}
    keys = f'keyint={group}:min-keyint={group}'
    if codec == 'libx264':
        options['x264-params'] = f'{keys}:scenecut=0'
    if codec == 'libx265':
        options['x265-params'] = f'{keys}:open-gop=0:bframes=2:log-level=none'
    size = (176, 144) if codec == 'h263' else (WIDTH, HEIGHT)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = PIXELS.get(codec, 'yuv420p')
        stream.codec_context.bit_rate = 1_500_000
        stream.codec_context.thread_count = 1
        for number in range(FRAMES):
            picture = numbered_frame(number, size[1], size[0])
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24').reformat(format=stream.pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == '__main__':
    av.logging.set_level(av.logging.ERROR)
    for ending in CODECS:
        for name, kind, group in films(ending):
            write(Path(sys.argv[1]) / name, kind, group)
