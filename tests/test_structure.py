"""The house's walls: rooms look one way, and the front page says only what runs."""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]

# A room may use itself, the rooms to its left, and the ground floor (checking, errors, files, input_spec, npz,
# named_configs, safe_json, safe_yaml).
GROUND = {'checking', 'errors', 'files', 'input_spec', 'interrupts', 'named_configs', 'npz', 'safe_json', 'safe_yaml'}
ALLOWED = {
    'nn': set(),
    'backbones': {'nn'},
    'recognizers': {'nn', 'backbones', 'registry'},
    'weights': {'backbones'},
    'data': {'_runtime'},
    'deploy': {'nn', 'factory', 'registry', 'weights'},
    'evaluation': {'data', 'deploy', 'registry', 'factory', 'weights'},
    'analysis': {'nn', 'backbones', 'data', 'evaluation', 'deploy'},
    'visualization': {'data', 'evaluation', 'analysis'},
    'training': {
        '__version__',
        '_runtime',
        'doctor',
        'nn',
        'recognizers.contract',
        'data',
        'deploy',
        'evaluation',
        'registry',
        'factory',
        'weights',
    },
    'studies': {'deploy', 'evaluation', 'training'},
    'gpu_check': {'nn', 'data', 'training', 'doctor', 'weights'},
    # The command is above everything; nothing is above it.
    'cli': {
        '__version__',
        '_runtime',
        'analysis',
        'api',
        'data',
        'deploy',
        'doctor',
        'evaluation',
        'factory',
        'gpu_check',
        'registry',
        'studies',
        'training',
        'visualization',
        'weights',
    },
}
# Files at the top of the package that know rooms: the registry knows none, the factory is above the recognizers.
FILES = {
    'registry': set(),
    'model_names': {'registry', 'recognizers', 'data', 'weights'},
    'pretrained': {'registry', 'data', 'weights'},
    'factory': {'registry', 'recognizers', 'backbones', 'data', 'weights', 'model_names', 'pretrained'},
}


def imports_of(path):
    """gluon_fg modules that a file names, as dotted names without the package's own."""
    package = path.relative_to(REPO).with_suffix('').parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            full = [*base, *(node.module or '').split('.')] if node.module else list(base)
            names = [full] if len(full) > 1 else [[*full, alias.name] for alias in node.names]
            yield from ('.'.join(name[1:]) for name in names)
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('gluon_fg.'):
            yield node.module[len('gluon_fg.') :]


@pytest.mark.parametrize('room', sorted(ALLOWED))
def test_rooms_look_one_way(room):
    files = list((REPO / 'gluon_fg' / room).rglob('*.py'))
    assert files
    wrong = [
        f'{path.name} -> {name}'
        for path in files
        for name in imports_of(path)
        if not any(name == a or name.startswith(a + '.') for a in {room, *GROUND, *ALLOWED[room]})
    ]
    assert not wrong


@pytest.mark.parametrize('file', sorted(FILES))
def test_registry_and_factory_look_one_way(file):
    named = set(imports_of(REPO / 'gluon_fg' / f'{file}.py')) - GROUND
    assert {name.split('.')[0] for name in named} <= FILES[file]


def test_every_room_has_its_walls():
    rooms = {p.parent.name for p in (REPO / 'gluon_fg').glob('*/*.py')}
    assert rooms == set(ALLOWED)


def test_no_files_need_each_other():
    root = REPO / 'gluon_fg'
    files = {path.relative_to(root).with_suffix('').as_posix().replace('/', '.'): path for path in root.rglob('*.py')}
    files = {name: path for name, path in files.items() if not name.endswith('__init__')}

    def needed(name):
        package = ['gluon_fg', *name.split('.')][:-1]
        for node in ast.walk(ast.parse(files[name].read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = package[1 : len(package) - node.level + 1] + (node.module or '').split('.')
                module = '.'.join(filter(None, above))
                yield from ({module, *(f'{module}.{alias.name}'.lstrip('.') for alias in node.names)} & set(files))

    graph = {name: set(needed(name)) for name in files}
    assert sum(map(len, graph.values())) > 200
    while graph:  # take away what nothing that is left needs
        free = {name for name in graph if not any(name in others for others in graph.values())}
        assert free, f'these need each other: {sorted(graph)}'
        graph = {name: others for name, others in graph.items() if name not in free}


# Words of a method -> what belongs to it, or takes it in. A map's `directions` are the contract's (`MapInfo`).
METHODS = {
    'csm': ('recognizers/u2s/', 'nn/mask_network.py'),
    'u2s': ('recognizers/u2s/', 'nn/mask_network.py', 'recognizers/__init__.py'),
    'directions': ('recognizers/cidc/', 'nn/cidc.py', 'recognizers/contract.py', 'analysis/activation.py'),
    'bank': ('recognizers/dfb.py', 'nn/filter_bank.py', 'nn/__init__.py'),
}


@pytest.mark.parametrize('word', sorted(METHODS))
def test_a_method_lives_in_one_place(word):
    root = REPO / 'gluon_fg'
    files = {p.relative_to(root).as_posix(): p.read_text().lower() for p in root.rglob('*.py')}
    naming = {name for name, text in files.items() if word in text}
    assert naming and not [name for name in naming if not name.startswith(METHODS[word])]


# Sizes: a file is one idea, a function fits on a screen, and what takes more arguments takes a record -----------------

SOURCES = sorted((REPO / 'gluon_fg').rglob('*.py'))


def functions_of(path):
    """(name, function) of all functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f'{path.relative_to(REPO)}: {node.name}', node


def lines_of_code(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def test_no_file_is_longer_than_350_lines():
    lengths = {str(path.relative_to(REPO)): path.read_text().count('\n') for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 350} == {}


def test_no_function_is_longer_than_60_lines():
    lengths = {name: lines_of_code(function) for path in SOURCES for name, function in functions_of(path)}
    assert len(lengths) > 1000 and {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_constructors_take_eight_arguments_at_most():
    """Besides self and what is handed on to Gluon (**kwargs)."""
    counts = {
        f'{name} in line {function.lineno}': len(
            function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        )
        for path in SOURCES
        for name, function in functions_of(path)
        if function.name == '__init__'
    }
    assert len(counts) > 30 and {name: count - 1 for name, count in counts.items() if count > 9} == {}


def test_no_two_test_files_have_one_name():
    """Pytest imports test files by their names alone: the second of a name is refused."""
    names = [path.name for path in (REPO / 'tests').rglob('test_*.py')]
    assert sorted(names) == sorted(set(names))


def test_names_say_what_they_are_of():
    """`found`, `one` and `what` name anything, so that a reader learns nothing from them."""
    places = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, 'id', None) or getattr(node, 'arg', None) or getattr(node, 'attr', None)
            if name in ('found', 'one', 'what'):
                places.append(f'{path.relative_to(REPO)}:{node.lineno}: {name}')
    assert not places
