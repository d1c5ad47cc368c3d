"""A repository with everything in it that trips up careless programs, and a suite that passes all the same."""

import os
from pathlib import Path

from tests.kit import repositories

HUGE_LINES = 4_000_000  # 24 MB of Python: beyond what any program of ours reads, and too much for most parsers.
FLOOD = 1_600  # writes of 64 KiB: 100 MB

# One test leaves a daemon behind that ignores SIGTERM and holds the output; one prints 100 MB.
ODD_TESTS = f"""
import os, signal

def test_leaves_a_daemon_behind():
    if not os.fork():
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: signal.pause()

def test_prints_100_mb():
    for _ in range({FLOOD}): os.write(2, b"x" * 65536)
"""
# Names that break shells, line-wise reading, Markdown and option parsers; each is a file of the last commit.
ODD_NAMES = (
    "with space.py",
    "quo'te\"d.py",
    "new\nline.py",
    "[link](tools@1).md",
    "`tick` | pipe.md",
    "<b>bold<!--.md",
    "-rf",
    "$(touch owned).py",
    "weiß.py",
)
LINKS = {"passwd": "/etc/passwd", "outside": "/etc", "more-requirements.txt": "/etc/hostname", "loop.py": "loop.py"}


def odd(path: Path) -> Path:
    """`python_passing` and a commit with odd names, huge and binary files, links out of the tree, an unruly suite."""
    repositories.python_passing(path)
    for name in ODD_NAMES:
        (path / name).write_text("[a](nowhere.md)\n" if name.endswith(".md") else "x = 1\n")
    Path(os.fsdecode(os.fsencode(path) + b"/caf\xe9.py")).write_text("x = 1\n")
    (path / "huge.py").write_text("x = 1\n" * HUGE_LINES)
    (path / "one-line.json").write_text("[" + "1," * 1_500_000 + "1]")
    (path / "blob.bin").write_bytes(bytes(range(256)) * 4_096)
    (path / "deceiving.py").write_bytes(b"\0\xff\xfe" * 1_000)
    (path / "tests/test_odd.py").write_text(ODD_TESTS)
    for name, target in LINKS.items():
        (path / name).symlink_to(target)
    return repositories.committed(path, "feat: odd [files](x) `here` | [tools/t9@99]\n\n<script>alert(1)</script>")
