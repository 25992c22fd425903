"""What the typed checks of configs, studies and the index find, whoever uses them."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gluon_fg.checking import Rule, above, at_least, check, load_yaml, merge, one_of, required, setting, valid_keys
from gluon_fg.errors import UserError


@dataclass
class Oven:
    heat: float = setting(200.0, above(0), synonyms=('temperature',))
    fan: bool = False
    mode: str = setting('bake', one_of('bake', 'grill'))


@dataclass
class Recipe:
    name: str = required(Rule('a line of text', lambda v: '\n' not in v))
    minutes: int = setting(30, at_least(1))
    oven: Oven = field(default_factory=Oven)
    steps: List[int] = setting([1, 2])
    cups: Dict[str, Dict[str, int]] = field(default_factory=dict)
    rest: Optional[float] = setting(None, at_least(0))
    tags: Tuple[str, ...] = ()
    free: Dict[str, Any] = field(default_factory=dict)


def test_keys_are_listed_with_their_sections():
    assert valid_keys(Recipe)[:5] == ['name', 'minutes', 'oven.heat', 'oven.fan', 'oven.mode']
    assert Recipe('a').steps is not Recipe('b').steps


GOOD = {'name': 'bread', 'minutes': 5, 'oven': {'heat': 210, 'fan': True}, 'steps': [], 'cups': {'a': {'b': 1}}}


@pytest.mark.parametrize(
    'change, message',
    [
        ({'minuts': 1}, 'r.yaml: unknown key minuts; did you mean minutes?'),
        ({'oven': {'temperature': 1}}, 'r.yaml: unknown key oven.temperature; did you mean oven.heat?'),
        ({'oven': {'zzz': 1}}, 'r.yaml: unknown key oven.zzz; choose from heat, fan, mode'),
        ({'mode': 'bake'}, 'r.yaml: unknown key mode; did you mean oven.mode?'),
        ({'minutes': 0}, 'r.yaml: minutes is 0; it must be 1 or more'),
        ({'minutes': 1.5}, 'r.yaml: minutes is 1.5; it must be a whole number, 1 or more'),
        ({'minutes': [1]}, 'r.yaml: minutes is [1]; it must be a whole number, 1 or more'),
        ({'minutes': None}, 'r.yaml: minutes is None; it must be a whole number, 1 or more'),
        ({'oven': {'heat': float('nan')}}, 'r.yaml: oven.heat is nan; it must be a finite number above 0'),
        ({'oven': {'mode': 'boil'}}, "r.yaml: oven.mode is 'boil'; it must be bake or grill"),
        ({'oven': {'fan': 'perhaps'}}, "r.yaml: oven.fan is 'perhaps'; it must be true or false"),
        ({'oven': 3}, 'r.yaml: oven is 3; it must be a mapping with the keys heat, fan, mode'),
        ({'steps': 3}, 'r.yaml: steps is 3; it must be a list'),
        ({'steps': {'a': 1}}, "r.yaml: steps is {'a': 1}; it must be a list"),
        ({'steps': [1, 'x']}, "r.yaml: steps[1] is 'x'; it must be a whole number"),
        ({'cups': {'a': 3}}, 'r.yaml: cups.a is 3; it must be a mapping'),
        ({'cups': {'a': {'b': 'x'}}}, "r.yaml: cups.a.b is 'x'; it must be a whole number"),
        ({'rest': -1}, 'r.yaml: rest is -1; it must be 0 or more'),
        ({'tags': 'new'}, "r.yaml: tags is 'new'; it must be a list"),
    ],
)
def test_a_mistake_is_the_same_line_read_strictly_or_over_defaults(change, message):
    check(Recipe, GOOD, 'r.yaml')
    with pytest.raises(UserError) as caught:
        check(Recipe, {**GOOD, **change}, 'r.yaml')
    assert str(caught.value) == message
    with pytest.raises(UserError) as caught:
        recipe = OmegaConf.to_object(merge(OmegaConf.structured(Recipe('x')), OmegaConf.create(change), 'r.yaml'))
        check(Recipe, recipe, 'r.yaml')
    assert str(caught.value) == message.replace('is -1;', 'is -1.0;')  # converted before it is tested


def test_text_is_a_number_over_defaults_alone():
    text = {'minutes': '7', 'oven': {'heat': '1e2', 'fan': 'no'}}
    recipe = OmegaConf.to_object(merge(OmegaConf.structured(Recipe('x')), OmegaConf.create(text), 'r.yaml'))
    assert (recipe.minutes, recipe.oven.heat, recipe.oven.fan) == (7, 100.0, False)
    with pytest.raises(UserError, match="minutes is '7'; it must be a whole number"):
        check(Recipe, {**GOOD, **text}, 'r.yaml')
    with pytest.raises(UserError, match='r.yaml: name is missing'):
        check(Recipe, {}, 'r.yaml')
    with pytest.raises(UserError, match='r.yaml is 3; it must be a mapping with the keys name, minutes'):
        check(Recipe, 3, 'r.yaml')


@given(
    st.dictionaries(
        st.sampled_from(['name', 'minutes', 'oven', 'steps', 'cups', 'free']) | st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text() | st.integers(), x),
            max_leaves=5,
        ),
    )
)
def test_whatever_is_given_is_right_or_one_line(given_values):
    for read in (
        lambda: check(Recipe, given_values, 'r.yaml'),
        lambda: merge(OmegaConf.structured(Recipe('x')), given_values, 'r.yaml'),
    ):
        try:
            read()
        except UserError as error:
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 500


def test_a_file_is_read_without_running_anything(tmp_path):
    (tmp_path / 'bread.yaml').write_text('a: {b: 1}\n')
    assert load_yaml(tmp_path / 'bread.yaml', 'recipe', 'a') == {'a': {'b': 1}}
    with pytest.raises(UserError, match='no recipe file .*/braed.yaml; did you mean .*/bread.yaml'):
        load_yaml(tmp_path / 'braed.yaml', 'recipe', 'a')
    for text, message in (
        ('[', 'not valid YAML'),
        ('a: !!python/name:os.system ""', 'not valid YAML'),
        ('- 1', 'no m'),
    ):
        (tmp_path / 'bad.yaml').write_text(text)
        with pytest.raises(UserError, match=f'bad.yaml: .*{message}') as caught:
            load_yaml(tmp_path / 'bad.yaml', 'recipe', 'a')
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'text', ['{a: ' * 400 + '1' + '}' * 400, '{heat: ' + '9' * 5000 + '}', '{heat: ' + '9' * 400 + '}']
)
def test_numbers_and_brackets_beyond_all_bounds_are_one_line(tmp_path, text):
    (tmp_path / 'r.yaml').write_text('oven: ' + text)
    with pytest.raises(UserError, match='r.yaml: ') as error:
        merge(OmegaConf.structured(Recipe), load_yaml(tmp_path / 'r.yaml', 'recipe', 'name'), 'r.yaml')
    assert '\n' not in str(error.value) and len(str(error.value)) < 1000
