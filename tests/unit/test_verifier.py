"""The stand-alone verifier: what it finds in an archive, its signatures against RFC 8032 and another implementation,
and that it runs alone."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import verifier
from eventstore.archive import writing
from eventstore.errors import BadHead
from eventstore.heads import SignedHead, Signer, new_key
from eventstore.memory.store import MemoryStore
from tests.kit.chains import LAST, LINKS, archive_of, write_log
from tests.kit.units import NOON

SEED = 8
FLIPS = 500

# RFC 8032, 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_signatures_of_the_rfc_hold_and_no_changed_one_does(key: str, message: str, signature: str) -> None:
    public, text, signed = (bytes.fromhex(part) for part in (key, message, signature))
    assert verifier.signature_holds(public, text, signed)
    assert not verifier.signature_holds(public, text + b"x", signed)
    for place in range(0, 64, 7):
        assert not verifier.signature_holds(public, text, flipped(signed, place))
    for place in range(0, 32, 5):
        assert not verifier.signature_holds(flipped(public, place), text, signed)
    assert not verifier.signature_holds(public[:-1], text, signed)
    assert not verifier.signature_holds(public, text, signed + b"\0")


def test_a_signature_with_another_factor_of_the_same_residue_is_no_signature() -> None:
    """RFC 8032, 5.1.7: the factor must be below the order, or one signature could be made into others."""
    public, text, signed = (bytes.fromhex(part) for part in VECTORS[1])
    factor = int.from_bytes(signed[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert not verifier.signature_holds(public, text, signed[:32] + factor.to_bytes(32, "little"))


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
def test_signatures_of_another_implementation_hold(seed: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = private.sign(message)
    assert verifier.signature_holds(public, message, signature)
    assert not verifier.signature_holds(public, message + b"\0", signature)


def flipped(content: bytes, place: int, bit: int = 0) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.fixture
async def log() -> MemoryStore:
    store = MemoryStore()
    await write_log(store)
    await store.blobs.put("demo", b"the content of a blob")
    return store


@pytest.fixture
def signer() -> Signer:
    return Signer.from_pem(new_key())


@pytest.fixture
async def path(log: MemoryStore, signer: Signer, tmp_path: Path) -> Path:
    root = (await log.audit.roots_at([LAST])).get(LAST)
    assert root is not None
    head = signer.sign("troupe", LAST, root, NOON)
    return await archive_of(log, tmp_path / "log.zip", blobs=True, heads=[head])


def test_what_holds_is_said_with_what_it_rests_on(
    path: Path, signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verifier.main([str(path)]) == verifier.OK
    said = capsys.readouterr().out
    assert f"positions 1 to {LAST} in {len(LINKS)} commits, 1 blobs" in said
    assert f"signed up to position {LAST} by {signer.key}" in said
    assert verifier.main([str(path), "--key", signer.key.upper()]) == verifier.OK


async def test_a_range_says_that_it_rests_on_a_root(log: MemoryStore, tmp_path: Path) -> None:
    report = verifier.Archive(await archive_of(log, tmp_path / "part.zip", 7)).check()
    said = verifier.told(report)
    assert f"resting on the root before, {(await log.audit.roots_at([6])).get(6)}" in said
    assert "no signed head is in it" in said


def test_any_changed_byte_of_an_archive_is_found(path: Path) -> None:
    draw, content = random.Random(SEED), path.read_bytes()
    for place in sorted(draw.sample(range(len(content)), FLIPS)):
        path.write_bytes(flipped(content, place, draw.randrange(8)))
        assert verifier.main([str(path)]) == verifier.BROKEN, f"byte {place} of {len(content)}"


def test_an_archive_that_was_cut_off_or_added_to_is_found(path: Path) -> None:
    draw, content = random.Random(SEED), path.read_bytes()
    for size in (len(content) - 1, len(content) - 64, *draw.sample(range(4, len(content)), 20)):
        path.write_bytes(content[:size])
        assert verifier.main([str(path)]) == verifier.BROKEN, size
    path.write_bytes(content + b"\n")
    assert verifier.main([str(path)]) == verifier.BROKEN


@pytest.mark.parametrize(
    ("old", "new", "position", "what"),
    [
        (b'{"n":3}', b'{"n":4}', 4, "the event is not what was committed"),
        ("läuft".encode(), b"lauft ", 11, "the event is not what was committed"),
        (b"the content of a blob", b"the content of a blab", 0, "is not what its name says"),
    ],
)
def test_a_changed_part_is_named(path: Path, old: bytes, new: bytes, position: int, what: str) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(verifier.Broken) as caught:
        verifier.Archive(path).check()
    assert (caught.value.position, what in caught.value.what) == (position, True)


async def test_a_log_written_anew_is_found_by_its_signed_head(
    log: MemoryStore, signer: Signer, path: Path, tmp_path: Path
) -> None:
    """The forger has the true head, and computes the whole chain anew for other events."""
    forged = MemoryStore()
    await write_log(forged)  # At another time: every root is another.
    anew = verifier.Archive(await archive_of(forged, tmp_path / "forged.zip"))
    anew.check()
    true = verifier.Archive(path)
    true.check()
    with (tmp_path / "mixed.zip").open("wb") as file, writing(file) as mixed:
        for name in ("commits.copy", "events.copy", "manifest.json"):
            with mixed.member(name) as member:
                member.write(anew.read(name))
        mixed.heads([SignedHead.parse(line) for line in true.read("heads.jsonl").splitlines()])
    with pytest.raises(verifier.Broken, match="another root here: it was written anew"):
        verifier.Archive(tmp_path / "mixed.zip").check()


async def test_versions_and_manifest_must_agree_with_the_events(log: MemoryStore, path: Path, tmp_path: Path) -> None:
    """Whoever computes a chain can put anything into it, but not a stream with a hole."""
    true = verifier.Archive(path)
    true.check()
    facts = json.loads(true.read("manifest.json"))
    for change, what in (({"last": 12}, "12 was to be the last"), ({"blobs": 2}, "there were 2 blobs")):
        with (tmp_path / "other.zip").open("wb") as file, writing(file) as other:
            for name in ("commits.copy", "events.copy", "heads.jsonl", *(f"blobs/{p}/{s}" for p, s in true.blobs())):
                with other.member(name) as member:
                    member.write(true.read(name))
            with other.member("manifest.json") as member:
                member.write(json.dumps(facts | change).encode())
        with pytest.raises(verifier.Broken, match=what):
            verifier.Archive(tmp_path / "other.zip").check()
    hole = MemoryStore()
    await write_log(hole)
    tables = hole._tables  # pyright: ignore[reportPrivateUsage]
    del tables.events[12:], tables.links[5:]
    first = tables.events[0]
    tables.events.append(type(first)(13, first.address, 9, first.type, first.at, "run", "c9", b"{}"))
    tables.seal(12)
    with pytest.raises(verifier.Broken, match="position 13: the stream goes from version 4 to 9 here"):
        verifier.Archive(await archive_of(hole, tmp_path / "hole.zip")).check()


@pytest.mark.parametrize("content", [b"", b"PK", b"something else entirely", b"x" * 500])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert verifier.main([str(tmp_path / "x")]) == verifier.USAGE
    assert verifier.main([str(tmp_path / "missing")]) == verifier.USAGE
    assert verifier.main([]) == verifier.USAGE
    assert verifier.main([str(tmp_path / "x"), "--key"]) == verifier.USAGE


def test_a_key_is_taken_from_hex_or_a_pem_file(path: Path, signer: Signer, tmp_path: Path) -> None:
    other = load_pem_private_key(new_key(), None)
    pem = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    assert verifier.public_key(str(tmp_path / "key.pem")) == Signer(other).key  # pyright: ignore[reportArgumentType]
    assert verifier.main([str(path), "--key", str(tmp_path / "key.pem")]) == verifier.BROKEN
    assert verifier.main([str(path), "--key", str(tmp_path / "nothing.pem")]) == verifier.USAGE
    (tmp_path / "key.pem").write_bytes(new_key())
    assert verifier.main([str(path), "--key", str(tmp_path / "key.pem")]) == verifier.USAGE


def test_it_runs_alone(path: Path, tmp_path: Path) -> None:
    """One file, no package, nothing of ours and nothing installed."""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(verifier.__file__, alone / "verifier.py")
    command = [sys.executable, "-I", "-S", str(alone / "verifier.py"), str(path)]
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (verifier.OK, "")
    path.write_bytes(path.read_bytes().replace(b'{"n":2}', b'{"n":5}', 1))
    done = subprocess.run(command, cwd=alone, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (verifier.BROKEN, "")
    assert done.stderr == "broken: position 3: the event is not what was committed\n"


def test_a_head_is_a_line_that_says_who_signed_what(signer: Signer) -> None:
    head = signer.sign("troupe", 7, "ab" * 32, NOON)
    assert head.holds()
    assert SignedHead.parse(head.line()) == head
    assert not SignedHead.parse(head.line().replace(b'"position":7', b'"position":8')).holds()
    text = verifier.head_text(head.log, head.position, head.root, head.at)
    assert verifier.signature_holds(bytes.fromhex(head.key), text, bytes.fromhex(head.signature))


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b'{"log":"x","position":"7"}', b"\xff"],
)
def test_what_is_no_head_is_refused(line: bytes) -> None:
    with pytest.raises(BadHead):
        SignedHead.parse(line)


def test_a_head_whose_text_could_be_read_in_two_ways_is_refused(signer: Signer) -> None:
    head = signer.sign("a\nposition 9", 7, "ab" * 32, NOON)
    with pytest.raises(BadHead, match="malformed"):
        SignedHead.parse(head.line())


def test_only_a_private_ed25519_key_signs() -> None:
    for content in (b"", b"no key", new_key()[:60]):
        with pytest.raises(BadHead):
            Signer.from_pem(content)
