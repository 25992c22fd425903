"""Package metadata. Ranges are given here; the exact versions that `make setup` installs are in constraints.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r"^__version__ = '(.+)'$", (ROOT / 'gluon_fg' / '__init__.py').read_text(), re.M).group(1)
README = ROOT / 'README.md'


class BuildWithFiles(build_py):
    """Packs model_zoo/ (index and small weights) and configs/; an editable install reads them where they are."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for folder, left_out in (('model_zoo', ('studies', '*.md')), ('configs', ())):
                packed = Path(self.build_lib, 'gluon_fg', folder)
                shutil.rmtree(packed, ignore_errors=True)  # of a former build
                shutil.copytree(ROOT / folder, packed, ignore=shutil.ignore_patterns(*left_out))


setup(
    name='gluon_fg',
    version=VERSION,
    description='Fine-grained action recognition in video: an extension of the GluonCV model zoo',
    long_description=README.read_text(encoding='utf-8') if README.exists() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['gluon_fg', 'gluon_fg.*']),
    package_data={
        'gluon_fg': [
            'py.typed',
            'visualization/*.html',
            *(f'visualization/*/*.{kind}' for kind in ('html', 'css', 'js')),
        ]
    },
    include_package_data=True,
    cmdclass={'build_py': BuildWithFiles},
    entry_points={'console_scripts': ['gluon-fg = gluon_fg.cli:main']},
    zip_safe=False,
    python_requires='>=3.8,<3.12',  # NumPy 1.23, which MXNet needs, ends at Python 3.11
    install_requires=[
        'click>=8.1,<9',
        'numpy>=1.20,<1.24',  # MXNet uses numpy.bool, but its own metadata lets newer ones in
        'gluoncv>=0.10.5.post0,<0.11',
        'opencv-python>=4.5',
        'pillow>=8',  # pictures that OpenCV may be built without
        'av>=12',
        'decord==0.6.0; platform_machine == "x86_64"',  # nothing is published for other processors: PyAV reads there
        'omegaconf>=2.3,<2.4',
        'pyyaml>=5.4',
        'scipy>=1.7',
        'scikit-learn>=1.2,<2',  # splits of videos by their source, t-SNE
        'pyarrow>=12,<18',  # manifests of datasets (Parquet); 17 is the last for Python 3.8
        'jinja2>=3.1,<4',  # reports
        'matplotlib>=3.7',
        'tqdm>=4.60',
        'requests>=2.26,<3',
        'urllib3>=1.26,<3',  # what lies under requests, whose errors say why a connection failed
        'portalocker>=2.0',
    ],
    extras_require={
        # The two builds own the same module `mxnet`: an environment holds one of them.
        'cpu': ['mxnet==1.9.1'],
        'gpu': [
            'mxnet-cu112==1.9.1',
            'nvidia-cuda-runtime-cu11==11.8.89',  # found and loaded by gluon_fg: no system CUDA is needed
            'nvidia-nvtx-cu11==11.8.86',
            'nvidia-cuda-nvrtc-cu11==11.8.89',
            'nvidia-cublas-cu11==11.11.3.6',
            'nvidia-curand-cu11==10.3.0.86',
            'nvidia-cufft-cu11==10.9.0.58',
            'nvidia-cusolver-cu11==11.4.1.48',
            'nvidia-nccl-cu11==2.18.3',
            'nvidia-cudnn-cu11==8.9.6.50',
        ],
        # Built from source against the MXNet that is installed: see CONTRIBUTING.md, "Horovod by hand".
        'horovod': ['horovod==0.28.1', 'cffi', 'cloudpickle', 'packaging', 'psutil'],
        # TV-L1 flow. It writes the same files as opencv-python, a superset of them: pip installs it after that one.
        'flow': ['opencv-contrib-python>=4.5'],
        # Faster runtimes, ONNX, and NNCF, which quantizes for OpenVINO. All else works without.
        'deploy': ['onnx>=1.14,<1.18', 'onnxruntime>=1.14', 'openvino>=2024.4', 'nncf>=2.13,<2.15'],
        # On a GPU. It owns the module `onnxruntime`, as the package of that name does: one of them can be installed.
        'deploy-gpu': ['onnx>=1.14,<1.18', 'onnxruntime-gpu[cuda,cudnn]>=1.21'],
        'convert': ['torch>=2.0'],  # the tests of `gluon-fg zoo convert`: see CONTRIBUTING.md, "PyTorch"
        'dev': [
            'pytest>=8',
            'pytest-timeout',
            'pytest-xdist',
            'hypothesis',
            'tensorboardX>=2.5',  # its event files are compared with ours
            'ruff',
            'mypy>=1.14,<1.15',
        ],
    },
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
