"""Blobs on their way out of the log: small ones whole, big ones streamed; never bytes that are not what was stored."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from actors.cli.exits import Exit, Stop
from eventstore.blobs import BLOB_BYTES_MAX, Blobs
from eventstore.store import BlobMissing, TamperedBlob


@contextmanager
def diverging(what: str, sha256: str) -> Generator[None]:
    """A blob that is missing or changed is a divergence of `what` ("report.md of t1")."""
    try:
        yield
    except BlobMissing as error:
        words = f"{what} is not in the store (SHA-256 {sha256}): restore it from a backup"
        raise Stop(Exit.DIVERGENCE, words) from error
    except TamperedBlob as error:
        words = f"{what} is not what was delivered (SHA-256 {sha256}): restore it from a backup"
        raise Stop(Exit.DIVERGENCE, words) from error


async def fetch(blobs: Blobs, project: str, sha256: str) -> bytes | None:
    """The whole of a blob; None for one that has to be streamed, with `save` or `show`."""
    stored = await blobs.stat(project, sha256)
    if stored is not None and stored.size > BLOB_BYTES_MAX:
        return None
    content = await blobs.get(project, sha256)
    if content is None:
        raise BlobMissing(f"the project {project} has no blob {sha256}")
    return content


async def save(blobs: Blobs, project: str, sha256: str, target: Path) -> int:
    """Write a blob into a new file; its bytes. The file is there whole or not at all, and none is written over."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    size = 0
    try:
        with part.open("xb") as file:
            async for piece in blobs.open(project, sha256):
                file.write(piece)
                size += len(piece)
        try:
            os.link(part, target)
        except FileExistsError:
            raise
        except OSError:  # A file system without links: nobody else should be writing there.
            part.rename(target)
    except OSError as error:
        raise Stop(Exit.FAILURE, f"cannot write {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return size


async def show(blobs: Blobs, project: str, sha256: str) -> None:
    """Write a blob to stdout once all of it was checked."""
    with tempfile.TemporaryDirectory(prefix="troupe-") as folder:
        path = Path(folder, "content")
        await save(blobs, project, sha256, path)
        _copy(path)


def _copy(path: Path) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()
