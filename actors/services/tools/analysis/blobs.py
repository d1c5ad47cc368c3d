"""Old versions of files from the last commits: each version once, read in bulk and bounded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.services.tools.programs.checkout import BINARY_PROBE_BYTES, printable
from actors.services.tools.programs.git import git

BLOB_BYTES_MAX = 1_000_000  # of one version; a larger one is not looked at
TOTAL_BYTES_MAX = 60_000_000  # of all versions together
BATCH_BYTES_MAX = 10_000_000  # read at a time


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file, and the newest of the looked-at commits that added or removed it."""

    commit: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Seen:
    commit: str
    path: str
    size: int


class History:
    """The versions that differ from HEAD's in the last `commits_max` commits. Raises GitError, TimeoutError."""

    def __init__(self, source: str | Path, commits_max: int) -> None:
        self._source = source
        log = [
            "log",
            f"--max-count={commits_max}",
            "--format=%x01%H",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "-z",
            "HEAD",
        ]
        self.commits = 0
        self.not_read = 0  # versions that are too large or beyond the total
        self._wanted = self._sized(self._listed(git(log, source).stdout))

    def versions(self) -> Iterator[Version]:
        """The text of every version, in the order of its first appearance; binary ones are passed over."""
        batch: list[tuple[str, _Seen]] = []
        size = 0
        for blob, seen in self._wanted.items():
            batch.append((blob, seen))
            size += seen.size
            if size >= BATCH_BYTES_MAX:
                yield from self._read(batch)
                batch, size = [], 0
        yield from self._read(batch)

    def _listed(self, log: bytes) -> dict[str, tuple[str, str]]:
        """blob → (newest commit that touched it, path), without the versions at HEAD."""
        present = git(["ls-tree", "-r", "-z", "HEAD"], self._source).stdout
        current = {entry.split(b"\t", 1)[0].split(b" ")[2].decode() for entry in present.split(b"\0") if entry}
        found: dict[str, tuple[str, str]] = {}
        commit = ""
        fields = log.split(b"\0")
        position = 0
        while position < len(fields):
            entry = fields[position].lstrip(b"\n")
            position += 1
            if b"\x01" in entry:
                commit = entry[entry.index(b"\x01") + 1 :][:64].split(b"\n")[0].decode()
                self.commits += 1
                entry = entry.partition(b"\n")[2].lstrip(b"\n")
            if entry.startswith(b":") and position < len(fields):
                meta = entry.split(b" ")
                path = printable(fields[position].decode("utf-8", "surrogateescape"))
                position += 1
                for blob in (meta[2].decode(), meta[3].decode()):
                    if blob.strip("0") and blob not in current:
                        found.setdefault(blob, (commit, path))
        return found

    def _sized(self, listed: dict[str, tuple[str, str]]) -> dict[str, _Seen]:
        if not listed:
            return {}
        asked = "".join(f"{blob}\n" for blob in listed).encode()
        answer = git(["cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)"], self._source, stdin=asked)
        wanted: dict[str, _Seen] = {}
        total = 0
        for line in answer.text.splitlines():
            fields = line.split(" ")
            if len(fields) != 3 or fields[1] != "blob":
                continue  # A submodule's commit, or an object that a partial clone lacks.
            size = int(fields[2])
            if size > BLOB_BYTES_MAX or total + size > TOTAL_BYTES_MAX:
                self.not_read += 1
                continue
            total += size
            wanted[fields[0]] = _Seen(*listed[fields[0]], size)
        return wanted

    def _read(self, batch: list[tuple[str, _Seen]]) -> Iterator[Version]:
        if not batch:
            return
        asked = "".join(f"{blob}\n" for blob, _ in batch).encode()
        output = git(["cat-file", "--batch"], self._source, stdin=asked).stdout
        position = 0
        for _, seen in batch:
            head = output.index(b"\n", position)
            content = output[head + 1 : head + 1 + seen.size]
            position = head + 1 + seen.size + 1
            if b"\0" not in content[:BINARY_PROBE_BYTES]:
                yield Version(seen.commit, seen.path, content.decode("utf-8", "replace"))
