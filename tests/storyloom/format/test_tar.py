"""The bytes of a shard."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyloom.format.tar import index_bytes, member, sample_bytes, trailer


def test_a_header_depends_on_name_and_size_alone() -> None:
    content = member("a.json", b"{}")
    assert len(content) == 1024
    assert content[512:] == b"{}" + bytes(510)
    assert content[100:148] == b"0000444\x000000000\x000000000\x0000000000002\x0000000000000\x00"
    assert content[156:257] == b"0" + bytes(100)
    assert content[257:265] == b"ustar\x0000"
    assert content[265:512] == bytes(247)


def test_the_bytes_of_a_sample_are_pinned() -> None:
    content = sample_bytes("k-0000", b'{"a":1}', [b"one", b"two" * 300])
    assert hashlib.sha256(content).hexdigest() == "0694d47ba12ca83f33b13a0a5e314f0dca52446e5f0abf1caec6a12ba69bd055"


def test_data_of_a_whole_block_gets_no_padding() -> None:
    assert len(member("a.json", bytes(512))) == 1024


@pytest.mark.parametrize("name", ["", "ä.json", "a" * 95 + ".json"])
def test_a_name_that_wids_would_lose_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be ASCII and at most 99 bytes long"):
        member(name, b"")


def test_a_name_of_99_bytes_is_kept() -> None:
    name = "a" * 94 + ".json"
    with tarfile.open(fileobj=io.BytesIO(member(name, b"x") + trailer(1024))) as tar:
        assert tar.getnames() == [name]


@pytest.mark.parametrize(("size", "end"), [(0, 10_240), (9216, 1024), (9728, 10_752), (10_240, 10_240)])
def test_a_shard_ends_with_two_blocks_or_more_at_a_multiple_of_10240(size: int, end: int) -> None:
    assert trailer(size) == bytes(end)


def test_the_index_holds_where_samples_start_and_where_the_last_one_ends() -> None:
    assert index_bytes([1024, 2048]) == struct.pack("<3Q", 0, 1024, 3072)


SAMPLES = st.lists(
    st.tuples(st.binary(max_size=1500), st.lists(st.binary(max_size=1500), max_size=3)), min_size=1, max_size=5
)


@given(SAMPLES)
def test_tarfile_reads_back_what_was_written_and_the_index_points_at_it(
    samples: list[tuple[bytes, list[bytes]]],
) -> None:
    written = [sample_bytes(f"k-{number}", *sample) for number, sample in enumerate(samples)]
    shard = b"".join(written) + trailer(sum(map(len, written)))
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        members = [(info.name, info.offset, tar.extractfile(info)) for info in tar]
    starts = [offset for name, offset, _ in members if name.endswith(".json")]
    index = struct.unpack(f"<{len(samples) + 1}Q", index_bytes([len(one) for one in written]))
    assert list(index[:-1]) == starts
    assert shard[index[-1] :].strip(b"\x00") == b""
    expected = [
        (name, content)
        for number, (document, images) in enumerate(samples)
        for name, content in [
            (f"k-{number}.json", document),
            *((f"k-{number}.{n:03d}.jpg", image) for n, image in enumerate(images)),
        ]
    ]
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        found = [(info.name, file.read()) for info in tar if (file := tar.extractfile(info)) is not None]
    assert found == expected
