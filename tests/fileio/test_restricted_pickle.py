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
    if protocol >= 5:
        value['d'] = bytearray(b'abc')
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
    victim = f'{tmp_path}/created'
    for call in (Calls(os.mkdir, victim), Calls(eval, f'open({victim!r}, "w")'), Calls(getattr, 'a', 'upper')):
        assert isinstance(load([call], protocol)[0], Inert)
    # What a call gave cannot be called either. GLOBAL os.mkdir; REDUCE without argument; REDUCE that with the path.
    data = b'cos\nmkdir\n)R(V' + victim.encode() + b'\ntR.'
    assert isinstance(RestrictedUnpickler(data, 'x', strict=False).load(), Inert)
    assert not [*tmp_path.iterdir()]


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


#: (), ((), ()), … forty deep: to hash it takes 2⁴⁰ steps, none of which can be interrupted.
DEEP = b')' + b'2\x86' * 40
UNREADABLE, SHORT = r'^x\.ckpt: unreadable pickle: ', 'unreadable pickle: error: unpack requires'
KEY, ITEM = 'a key made of tuples or sets', r'expected a (dict|list|set), found a (NoneType|dict|list)'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', UNREADABLE),
        (b'no pickle', UNREADABLE),
        (pickle.dumps([1, 2, 3])[:-3], UNREADABLE),
        (b'\x80\xff.', UNREADABLE),  # a protocol of the future
        (b'(lp0\n', UNREADABLE),  # no end
        (b'a.', UNREADABLE),  # pops from an empty stack
        (b'Pabc\n.', UNREADABLE),  # a persistent id, of which there are none here
        (b'cos\n', UNREADABLE),
        (b']' + b'2' * 5 + b'e.', UNREADABLE),
        (b'I' + b'9' * 10_000 + b'\n.', UNREADABLE),  # more digits than Python converts
        (b'h\x05.', UNREADABLE),  # a memo entry that is not there
        (b'\x80\x04\x95' + b'\xff' * 8 + b'.', UNREADABLE),  # a frame longer than the file
        *((b'N' + number, SHORT) for number in (b'\x8b', b'r', b'j\0', b'G123', b'J', b'X\1', b'\x95\0')),
        (b'}' + DEEP + b'Ns.', KEY),  # SETITEM
        (b'}(' + DEEP + b'Nu.', KEY),  # SETITEMS
        (b'(' + DEEP + b'Nd.', KEY),  # DICT
        (b'\x8f(' + DEEP + b'\x90.', KEY),  # ADDITEMS
        (b'(' + DEEP + b'\x91.', KEY),  # FROZENSET
        (b'ccollections\nOrderedDict\n]' + DEEP + b'N\x86a\x85R.', KEY),
        (DEEP + b'NR.', 'a call without a tuple of arguments'),
        *((data, ITEM) for data in (b'NNNs.', b'N(NNu.', b'NNa.', b'N(Ne.', b'N(N\x90.', b'}Na.', b']NNs.')),
        (b'\x96' + (1 << 28).to_bytes(8, 'little') + b'x.', UNREADABLE),
        (b'\x80\x02' + DEEP + b'b.', r'^x\.ckpt: '),  # each level doubles what its text would be
    ],
)
def test_broken_pickles_are_one_short_error(data, message):
    with pytest.raises(DataError, match=message) as caught:
        RestrictedUnpickler(data, 'x.ckpt', strict=message != UNREADABLE).load()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    'data',
    [
        b'Nr\xff\xff\xff\xff0N.',  # memo index 4,294,967,295
        b'\x8e' + (1 << 60).to_bytes(8, 'little') + b'x.',  # a byte string of an exabyte
        b'\x96' + (1 << 28).to_bytes(8, 'little') + b'x.',  # a bytearray takes all there is; its end is missing
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


@pytest.mark.parametrize('key', ['a', 1, None, (1, 'b'), frozenset([1]), b'x', 1.5])
def test_other_keys_come_back(key):
    assert load({key: 1}, 4) == {key: 1}
    assert load(OrderedDict([(key, 1)]), 4) == {key: 1}
