"""docs.check: what a newcomer finds: README, changelog, licence, contributing guide, docstrings, links that work."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.services.tools.analysis import coverage, history, licences, project_version, readme
from actors.services.tools.analysis.findings import bounded, finding, noun, omission, section, severity_facts
from actors.services.tools.composing.citing import citation, plain, table
from actors.services.tools.programs.checkout import TextFile, text_files
from protocol.tools import Fact, Finding, ProducedFile, ToolInput, ToolResult

REPORT_PATH = "documentation.md"

_README = re.compile(r"^readme(\.(md|markdown|rst|txt|adoc|asciidoc))?$", re.IGNORECASE)
_CHANGELOG = re.compile(r"^(changelog|changes|history|news|releases?)(\.(md|markdown|rst|txt|adoc))?$", re.IGNORECASE)
_LICENCE = re.compile(r"^(un)?licen[cs]e([-_.].*)?$|^copying([-_.].*)?$", re.IGNORECASE)
_CONTRIBUTING = re.compile(r"^contributing(\.(md|markdown|rst|txt|adoc))?$", re.IGNORECASE)
_VERSION_IN_TEXT = r"(?<![\d.])v?{}(?![\d])"


@dataclass(frozen=True, slots=True)
class _Documents:
    """The documents found in the root, `.github` or `docs`; several licences may stand side by side."""

    readme: TextFile | None
    changelog: TextFile | None
    contributing: TextFile | None
    licences: Sequence[TextFile]


def run(given: ToolInput) -> ToolResult:
    """Check the checkout's documentation. Applies to every repository, an empty one included."""
    texts = list(text_files(given.source))
    documents = _documents(texts)
    covered, exports = coverage.python(texts), coverage.scripts(texts)
    version = _version(given.source)
    named = _names_version(documents.changelog, version)
    licence = " OR ".join(dict.fromkeys(licences.identify(file.text) for file in documents.licences))
    offered = readme.read(documents.readme.path, documents.readme.text) if documents.readme else None
    found = _remarks(documents, offered, version, named, licence)
    links = _link_findings(documents.readme, texts)
    public = "public modules, classes and functions"
    found += [*links, *coverage.findings(covered, "docstring", public, "docstring")]
    found += coverage.findings(exports, "jsdoc", "exported functions and classes", "JSDoc comment")
    facts: dict[str, Fact] = {
        "has_readme": documents.readme is not None,
        "readme_words": offered.words if offered else 0,
        "has_changelog": documents.changelog is not None,
        "changelog_names_version": named,
        "version": version,
        "licence": licence,
        "has_contributing": documents.contributing is not None,
        "broken_links": len(links),
        "documentable": covered.total,
        "documented": covered.documented,
        "doc_exports": exports.total,
        "doc_exports_documented": exports.documented,
    }
    if covered.total:
        facts["docstring_coverage_percent"] = covered.percent
    if exports.total:
        facts["doc_coverage_percent"] = exports.percent
    page = _page(given, documents, facts, found)
    return ToolResult(
        "ok",
        _summary(facts),
        facts=facts | severity_facts(found),
        findings=bounded(found),
        files=(ProducedFile(REPORT_PATH, "text/markdown", page.encode("utf-8", "replace")),),
    )


def _documents(texts: Sequence[TextFile]) -> _Documents:
    places = ("", ".github/", "docs/", "doc/")

    def first(pattern: re.Pattern[str]) -> TextFile | None:
        found = [file for file in texts if pattern.match(file.name) and file.path.removesuffix(file.name) in places]
        return min(found, key=lambda file: (places.index(file.path.removesuffix(file.name)), file.path), default=None)

    licence_files = [file for file in texts if file.path.startswith("LICENSES/") and file.path.count("/") == 1]
    at_root = [file for file in texts if "/" not in file.path and _LICENCE.match(file.name) and not _is_code(file)]
    return _Documents(first(_README), first(_CHANGELOG), first(_CONTRIBUTING), at_root or licence_files)


def _is_code(file: TextFile) -> bool:
    return file.suffix in (".py", ".js", ".ts", ".go", ".sh", ".json", ".yml", ".yaml")


def _version(source: str) -> str:
    """The version the project says it has: by its manifest, else by its last tag; "" when neither says one."""
    stated = project_version.stated(source)
    if stated:
        return stated
    last = history.last_version(source)
    return str(last[1]) if last else ""


def _names_version(changelog: TextFile | None, version: str) -> bool:
    if changelog is None or not version:
        return False
    short = version.removesuffix(".0")
    return any(re.search(_VERSION_IN_TEXT.format(re.escape(name)), changelog.text) for name in {version, short})


def _remarks(
    documents: _Documents, offered: readme.Readme | None, version: str, named: bool, licence: str
) -> list[Finding]:
    found: list[Finding] = []
    if not licence:
        said = "there is no licence: nobody else may use, change or pass on what is released"
        found.append(finding("high", "licence-missing", said))
    elif licences.UNRECOGNISED in licence:
        said = "the licence is none of those known here: somebody has to read it"
        found.append(finding("low", "licence-unrecognised", said, documents.licences[0].path))
    if offered is None:
        found.append(
            finding("high", "readme-missing", "there is no README: newcomers cannot tell what it is and how to start")
        )
    else:
        if offered.words < readme.WORDS_MIN:
            said = f"{offered.words} words, fewer than {readme.WORDS_MIN}: it hardly says what the project is for"
            found.append(finding("low", "readme-short", said, offered.path))
        if not offered.installs:
            found.append(finding("low", "readme-install", "it does not say how to install or set up", offered.path))
        if not offered.shows_use:
            found.append(finding("low", "readme-usage", "no heading about use or an example", offered.path))
    if documents.changelog is None:
        said = "there is no changelog: users cannot tell what a new version means for them"
        found.append(finding("medium", "changelog-missing", said))
    elif version and not named:
        said = f"it does not name the current version {version}"
        found.append(finding("low", "changelog-version", said, documents.changelog.path))
    if documents.contributing is None:
        found.append(finding("info", "contributing-missing", "there is no contributing guide"))
    return found


def _link_findings(document: TextFile | None, texts: Sequence[TextFile]) -> list[Finding]:
    if document is None or document.suffix not in (".md", ".markdown"):
        return []
    root = document.location.parents[document.path.count("/")]

    def exists(path: str) -> bool:
        # A look at the name only: nothing is opened, and a path never leaves the checkout.
        return (root / path).exists() or (root / path).is_symlink()

    return [
        finding("low", "broken-link", f"leads nowhere: {each.target}", document.path, each.line)
        for each in readme.broken_links(document.path, document.text, exists)
    ]


def _summary(facts: Mapping[str, Fact]) -> str:
    missing = [
        name
        for name, there in (
            ("README", facts["has_readme"]),
            ("changelog", facts["has_changelog"]),
            ("licence", bool(facts["licence"])),
            ("contributing guide", facts["has_contributing"]),
        )
        if not there
    ]
    parts = [
        f"missing: {', '.join(missing)}" if missing else "README, changelog, licence and contributing guide are there"
    ]
    if facts["licence"]:
        parts.append(f"licence {facts['licence']}")
    if facts["documentable"]:
        parts.append(f"docstrings {facts['docstring_coverage_percent']} % of {facts['documentable']}")
    if facts["doc_exports"]:
        parts.append(f"JSDoc {facts['doc_coverage_percent']} % of {facts['doc_exports']}")
    if facts["broken_links"]:
        parts.append(noun(int(facts["broken_links"]), "broken link"))
    return "; ".join(parts)


def _page(given: ToolInput, documents: _Documents, facts: Mapping[str, Fact], found: Sequence[Finding]) -> str:
    cite = citation(given.call)

    def there(file: TextFile | None) -> str:
        return f"`{plain(file.path)}` {cite}" if file else f"missing {cite}"

    version = plain(str(facts["version"])) or "none stated"
    names = "yes" if facts["changelog_names_version"] else "no"
    covered = (
        f"{facts['docstring_coverage_percent']} % ({facts['documented']} of {facts['documentable']}) {cite}"
        if facts["documentable"]
        else f"no public Python code {cite}"
    )
    exported = (
        f"{facts['doc_coverage_percent']} % ({facts['doc_exports_documented']} of {facts['doc_exports']}) {cite}"
        if facts["doc_exports"]
        else f"no exported JavaScript or TypeScript {cite}"
    )
    rows = [
        ("README", there(documents.readme)),
        ("Words in the README", f"{facts['readme_words']} {cite}"),
        ("Changelog", there(documents.changelog)),
        ("Current version", f"{version} {cite}"),
        ("Named in the changelog", f"{names} {cite}"),
        ("Licence", f"{plain(str(facts['licence'])) or 'missing'} {cite}"),
        ("Contributing guide", there(documents.contributing)),
        ("Docstring coverage", covered),
        ("JSDoc coverage", exported),
        ("Broken links in the README", f"{facts['broken_links']} {cite}"),
    ]
    return (
        f"# Documentation\n\nTask: {plain(given.title)}\n\n"
        + table(("What", "Found"), rows)
        + "\n"
        + section("Remarks", bounded(found), given.call, "No remarks.")
        + omission(found, given.call)
    )
