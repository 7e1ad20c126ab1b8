import json
import socket
import struct
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.domain import ModelVersion
from modeld.host.protocol import (
    MAX_HEAD,
    MAX_PAYLOAD,
    BlockingChannel,
    Decoder,
    Frame,
    ProtocolError,
    encode,
    known_messages,
)
from modeld.messages import Batch, BatchAnswer, Beat, Drain, Fork, Message, Outcome, Peer, Want

TEXTS = st.text(st.characters(codec=None), max_size=8)  # lone surrogates among them
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: TEXTS,
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value that a field with this type hint may have."""
    if is_dataclass(hint):
        return instances_of(typing.cast("type", hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(values_of, arguments))
    return SCALARS[hint]


def instances_of(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    parts = {field.name: values_of(hints[field.name]) for field in fields(kind)}
    return st.builds(kind, **parts)


MESSAGES = {kind.__name__: instances_of(kind) for kind in known_messages()}


def frame_of(head: bytes, payload: bytes = b"") -> bytes:
    return struct.pack("<II", len(head), len(payload)) + head + payload


def only(frames: Iterator[Frame] | Sequence[Frame]) -> Frame:
    (frame,) = frames
    return frame


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=20)
@given(data=st.data(), payload=st.binary(max_size=16))
def test_every_message_arrives_as_it_was_sent(
    name: str, data: st.DataObject, payload: bytes
) -> None:
    message = data.draw(MESSAGES[name])

    frame = only(Decoder().feed(encode(message, payload)))

    assert frame.message == message
    assert type(frame.message) is type(message)
    assert bytes(frame.payload) == payload


@settings(max_examples=25)
@given(
    sent=st.lists(st.tuples(st.one_of(*MESSAGES.values()), st.binary(max_size=9)), max_size=4),
    step=st.integers(1, 40),
)
def test_frames_may_be_cut_anywhere(sent: list[tuple[Message, bytes]], step: int) -> None:
    stream = b"".join(encode(message, payload) for message, payload in sent)
    decoder = Decoder()

    chunks = [stream[at : at + step] for at in range(0, len(stream), step)]
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]

    assert [(frame.message, bytes(frame.payload)) for frame in frames] == sent


def test_numbers_that_json_has_no_word_for_arrive_too() -> None:
    frame = only(Decoder().feed(encode(Beat(float("inf"), 1))))

    assert frame.message == Beat(float("inf"), 1)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"3", id="no list"),
        pytest.param(b"[]", id="no name"),
        pytest.param(b'["Nonsense"]', id="unknown name"),
        pytest.param(b'["BatchAnswerX",1]', id="unknown name with fields"),
        pytest.param(b"[[1],2]", id="a list for a name"),
        pytest.param(b'["Beat",0.5]', id="a field too few"),
        pytest.param(b'["Beat",0.5,1,2]', id="a field too many"),
        pytest.param(b'["Want",1,["default"]]', id="a field too few inside"),
        pytest.param(b'["Want",1,null]', id="null for a value"),
        pytest.param(b'["Want",1,7]', id="a number for a value"),
        pytest.param(b'["Want",1,"ab"]', id="a text for a value"),
        pytest.param(b'["Beat",0.5,1][]', id="something behind it"),
        pytest.param(b'{"Beat":0.5}', id="an object"),
        pytest.param(b"7", id="a number alone"),
        pytest.param(b"[" * 100_000, id="nested deeply"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(frame_of(head)))


@given(st.binary(max_size=60))
def test_random_heads_are_refused_or_understood(head: bytes) -> None:
    try:
        frames = list(Decoder().feed(frame_of(head)))
    except ProtocolError:
        return
    assert len(frames) == 1


@pytest.mark.parametrize(("head", "payload"), [(MAX_HEAD + 1, 0), (2, MAX_PAYLOAD + 1)])
def test_a_frame_that_is_too_long_is_refused_before_it_arrives(head: int, payload: int) -> None:
    with pytest.raises(ProtocolError, match="too long"):
        list(Decoder().feed(struct.pack("<II", head, payload)))


def test_a_reader_that_fails_on_a_frame_does_not_get_it_again() -> None:
    """Otherwise one frame that meets a defect would come back with every byte that arrives."""
    decoder = Decoder()
    stream = encode(Beat(0.1, 1)) + encode(Beat(0.2, 2))

    for frame in decoder.feed(stream):
        assert frame.message == Beat(0.1, 1)
        break
    rest = [frame.message for frame in decoder.feed(encode(Drain()))]

    assert rest == [Beat(0.2, 2), Drain()]


def test_a_head_is_plain_json() -> None:
    frame = encode(Want(7, ModelVersion("churn", "v3")), b"xyz")

    head, payload = struct.unpack_from("<II", frame)
    assert json.loads(frame[8 : 8 + head]) == ["Want", 7, ["churn", "v3"]]
    assert frame[8 + head :] == b"xyz"
    assert payload == 3


def test_an_outcome_without_answers_keeps_its_nones() -> None:
    answer = BatchAnswer(1, (Outcome(None, None, "model_error", "it failed"),), 0.5)

    assert only(Decoder().feed(encode(answer))).message == answer


@pytest.fixture
def pair() -> Iterator[tuple[BlockingChannel, BlockingChannel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for sock in (ours, theirs):
            sock.settimeout(10)
        yield BlockingChannel(ours), BlockingChannel(theirs)


def test_descriptors_come_with_their_frame(pair: tuple[BlockingChannel, BlockingChannel]) -> None:
    left, right = pair
    ours, theirs = socket.socketpair()

    with ours, theirs:
        left.send(Peer(), descriptors=[theirs.fileno()])
        assert [frame.message for frame in right.receive() or ()] == [Peer()]
        with socket.socket(fileno=right.descriptors.popleft()) as received:
            received.sendall(b"hello")

        assert ours.recv(5) == b"hello"


def test_the_end_is_told_apart_from_a_part_of_a_frame(
    pair: tuple[BlockingChannel, BlockingChannel],
) -> None:
    left, right = pair
    frame = encode(Fork(1, 0, needs_libraries=True, needs_tables=False))

    left.sock.sendall(frame[:5])
    assert right.receive() == []
    left.sock.sendall(frame[5:])
    assert only(right.receive() or ()).message == Fork(
        1, 0, needs_libraries=True, needs_tables=False
    )
    left.sock.close()

    assert right.receive() is None


def test_a_large_payload_arrives_whole(pair: tuple[BlockingChannel, BlockingChannel]) -> None:
    left, right = pair
    payload = bytes(range(256)) * 400
    batch = Batch(1, (100,), (100, 128), False, 1.0)

    left.send(batch, payload)
    frames: list[Frame] = []
    while not frames:
        frames = right.receive() or []

    assert frames[0].message == batch
    assert bytes(frames[0].payload) == payload
