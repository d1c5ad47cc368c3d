"""The structural check of Dockerfiles finds what can be told wrong without a build."""

import pytest

from actors.services.tools.composing.dockerfile import instructions, problems

GOOD = """ARG X=1
# a comment
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.txt \\
     ./
RUN pip install -r requirements.txt

FROM python:3.13-slim
COPY --from=build /src /app
EXPOSE 8000/tcp
USER 10001:10001
CMD ["python", "main.py"]
"""


def found(text: str) -> list[str]:
    return problems(text, lambda path: path in ("requirements.txt", "."))


def test_a_good_one_has_no_problem() -> None:
    assert found(GOOD) == []


def test_continued_lines_are_one_instruction() -> None:
    assert (5, "COPY", "requirements.txt       ./") in instructions(GOOD)
    assert [word for _, word, _ in instructions("FROM a:1\nRUN x \\\n")] == ["FROM", "RUN"]


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("FROM python:3.13-slim AS build", "FROM python AS build", "not pinned"),
        ("FROM python:3.13-slim AS build", "FROM python:latest AS build", "not pinned"),
        ("FROM python:3.13-slim AS build", "FROM python:3.13-slim AS", "cannot read FROM"),
        ("ARG X=1\n", "ENV X=1\n", "before the first FROM"),
        ("RUN pip", "RUM pip", "RUM is no instruction"),
        ("RUN pip install -r requirements.txt", "RUN", "says nothing"),
        ("COPY requirements.txt", "COPY missing.txt", "missing.txt is not in the repository"),
        ("COPY requirements.txt", "COPY ../requirements.txt", "not in the repository"),
        ("COPY --from=build /src /app", "COPY --from=test /src /app", "no earlier stage test"),
        ("COPY --from=build /src /app", "COPY /src", "a source and a destination"),
        ("WORKDIR /src", "WORKDIR src", "not absolute"),
        ("EXPOSE 8000/tcp", "EXPOSE 80000", "80000 is no port"),
        ("USER 10001:10001\n", "", "runs as root"),
        ("USER 10001:10001", "USER 0", "runs as root"),
        ('CMD ["python", "main.py"]', "CMD python main.py", "JSON list"),
        ('CMD ["python", "main.py"]', "ENTRYPOINT [1]", "JSON list"),
    ],
)
def test_each_fault_is_told(old: str, new: str, part: str) -> None:
    assert old in GOOD
    assert any(part in problem for problem in found(GOOD.replace(old, new, 1)))


def test_an_empty_file_has_no_from() -> None:
    assert found("# nothing\n") == ["line 1: there is no FROM"]
