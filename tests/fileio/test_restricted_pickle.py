"""A pickle reaches nothing but what the list allows."""

from __future__ import annotations

import copyreg
import os
import pickle
import tracemalloc
from collections import Counter, OrderedDict

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.restricted_pickle import Inert, RestrictedUnpickler

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Stateful:
    """Any class of a stranger's."""

    def __init__(self) -> None:
        self.value = 1


class Listed(list):
    """Its items are appended while unpickling."""


class Mapped(dict):
    """Its items are set while unpickling."""


class Calls:
    """Asks the unpickler to call something."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


def load(value: object, protocol: int = 2) -> object:
    return RestrictedUnpickler(pickle.dumps(value, protocol), 'x.ckpt', strict=False).load()


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_plain_values_come_back(protocol):
    value = OrderedDict(a=[1, -2.5, 'ü', None, True, 1 << 70], b=({'c': ()}, [[]]))
    if protocol >= 3:  # before, bytes are the call of a codec
        value['c'] = b'\0'
    assert load(value, protocol) == value
    assert type(load(value, protocol)) is OrderedDict


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('foreign', [Stateful(), Listed([1]), Mapped(a=1), Counter('ab'), Stateful, len, {Stateful()}])
def test_everything_else_is_inert(foreign, protocol):
    first, second = load([foreign, 'after'], protocol)
    assert isinstance(first, (Inert, set)) or first is Inert
    assert not vars(first) if isinstance(first, Inert) else True
    assert second == 'after'


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_nothing_is_called(protocol, tmp_path):
    victim = tmp_path / 'created'
    for call in (
        Calls(os.mkdir, str(victim)),
        Calls(eval, f'open({str(victim)!r}, "w")'),
        Calls(getattr, 'a', 'upper'),
    ):
        assert isinstance(load([call], protocol)[0], Inert)
    assert not victim.exists()


def test_what_was_got_by_a_call_cannot_be_called_either(tmp_path):
    victim = tmp_path / 'created'
    # GLOBAL os.mkdir; REDUCE with no argument; REDUCE the result with the path.
    data = b'cos\nmkdir\n)R(V' + str(victim).encode() + b'\ntR.'
    assert isinstance(RestrictedUnpickler(data, 'x', strict=False).load(), Inert)
    assert not victim.exists()


def test_extension_codes_do_not_bypass_the_list():
    copyreg.add_extension('os', 'getcwd', 241)
    try:
        data = pickle.dumps(os.getcwd, 2)
        with pytest.raises(DataError, match=r'x\.ckpt: unreadable pickle: .*extension code 241'):
            RestrictedUnpickler(data.replace(b'cposix\ngetcwd\n', b'\x82\xf1'), 'x.ckpt').load()
    finally:
        copyreg.remove_extension('os', 'getcwd', 241)


def test_allowed_names_stand_for_what_the_list_says():
    data = pickle.dumps(Calls(os.getcwd), 2)
    assert RestrictedUnpickler(data, 'x', {('posix', 'getcwd'): lambda: 'ours'}).load() == 'ours'


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'no pickle',
        pickle.dumps([1, 2, 3])[:-3],
        b'\x80\xff.',  # a protocol of the future
        b'(lp0\n',  # no end
        b'a.',  # pops from an empty stack
        b'Pabc\n.',  # a persistent id, of which there are none here
        b'cos\n',
        b']' + b'2' * 5 + b'e.',
        b'I' + b'9' * 10_000 + b'\n.',  # more digits than Python converts
        b'h\x05.',  # a memo entry that is not there
        b'\x80\x04\x95' + b'\xff' * 8 + b'.',  # a frame longer than the file
    ],
)
def test_broken_pickles_are_one_kind_of_error(data):
    with pytest.raises(DataError, match=r'^x\.ckpt: unreadable pickle: '):
        RestrictedUnpickler(data, 'x.ckpt', strict=False).load()


@pytest.mark.parametrize(
    'data',
    [
        b'Nr\xff\xff\xff\xff0N.',  # memo index 4,294,967,295
        b'\x8e' + (1 << 60).to_bytes(8, 'little') + b'x.',  # a byte string of an exabyte
    ],
)
def test_claimed_sizes_take_no_memory(data):
    tracemalloc.start()
    try:
        RestrictedUnpickler(data, 'x').load()
    except DataError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1e6


def test_no_state_reaches_what_the_list_allows():
    """BUILD would set attributes of allowed objects, functions among them."""

    def ours() -> int:
        return 1

    ours.__defaults__ = (7,)
    data = b'cours\nours\nN}V__defaults__\n(tsVname\nVx\ns\x86b.'  # (None, {'__defaults__': (), 'name': 'x'})
    assert RestrictedUnpickler(data, 'x', {('ours', 'ours'): ours}).load() is ours
    assert ours.__defaults__ == (7,) and not hasattr(ours, 'name')


def test_an_ordered_dict_keeps_its_methods():
    value = OrderedDict(a=1)
    value.values = 'not a method'
    loaded = load(value)
    assert list(loaded.values()) == [1]


def test_errors_stay_short():
    """(()), ((),()), … by memo: each level doubles what its text would be."""
    data = b'\x80\x02)' + b'2\x86' * 40 + b'b.'
    with pytest.raises(DataError) as caught:
        RestrictedUnpickler(data, 'x').load()
    assert len(str(caught.value)) < 300


def test_a_claimed_bytearray_takes_no_memory():
    tracemalloc.start()
    try:
        found = RestrictedUnpickler(b'\x96' + (1 << 28).to_bytes(8, 'little') + b'x.', 'x')
        with pytest.raises(DataError):
            found.load()  # the array takes all there is, and the end is missing
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_bytearrays_come_back():
    assert load(bytearray(b'abc'), 5) == bytearray(b'abc')


@pytest.mark.parametrize('number', [b'\x8b', b'r', b'j\0', b'G123', b'J', b'X\1', b'\x95\0'])
def test_numbers_that_end_too_early(number):
    with pytest.raises(DataError, match='unreadable pickle: error: unpack requires'):
        RestrictedUnpickler(b'N' + number, 'x').load()


#: (), ((), ()), … forty deep: to hash it takes 2⁴⁰ steps, none of which can be interrupted.
DEEP = b')' + b'2\x86' * 40


@pytest.mark.parametrize(
    'data',
    [
        b'}' + DEEP + b'Ns.',  # SETITEM
        b'}(' + DEEP + b'Nu.',  # SETITEMS
        b'(' + DEEP + b'Nd.',  # DICT
        b'\x8f(' + DEEP + b'\x90.',  # ADDITEMS
        b'(' + DEEP + b'\x91.',  # FROZENSET
        b'ccollections\nOrderedDict\n]' + DEEP + b'N\x86a\x85R.',
    ],
)
def test_keys_in_keys_are_refused(data):
    with pytest.raises(DataError, match='a key made of tuples or sets'):
        RestrictedUnpickler(data, 'x').load()


@pytest.mark.parametrize('key', ['a', 1, None, (1, 'b'), frozenset([1]), b'x', 1.5])
def test_other_keys_come_back(key):
    assert load({key: 1}, 4) == {key: 1}
    assert load(OrderedDict([(key, 1)]), 4) == {key: 1}


def test_what_is_called_is_not_spelled_out():
    with pytest.raises(DataError, match='a call without a tuple of arguments'):
        RestrictedUnpickler(DEEP + b'NR.', 'x').load()


@pytest.mark.parametrize('data', [b'NNNs.', b'N(NNu.', b'NNa.', b'N(Ne.', b'N(N\x90.', b'}Na.', b']NNs.'])
def test_items_go_into_containers_alone(data):
    with pytest.raises(DataError, match=r'expected a (dict|list|set), found a (NoneType|dict|list)'):
        RestrictedUnpickler(data, 'x').load()
