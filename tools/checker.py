"""What the checkers (tools/check-text, check-c, check-commits, check-layers, check-walks) share: the files of the tree,
and a main program.

A rule is a function rule(path, text) that yields (line number, message) for each violation. Each rule has a sample that
it must accept and a sample that it must reject; `--self-test` tries both, so a rule that can no longer fail is noticed.
"""
import collections
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

Rule = collections.namedtuple("Rule", "check good bad")
"""A function, and samples as (path, text): files that it accepts, files that it rejects."""

SUFFIXES = {
    ".c": "c", ".cc": "c", ".h": "c", ".ld": "c", ".asm": "asm", ".inc": "asm", ".py": "python", ".sh": "shell",
    ".mk": "make", ".md": "markdown", ".cfg": "config", ".dict": "config", ".suppress": "config", ".html": "html",
}
NAMES = {"Makefile": "make", ".clang-format": "config", ".editorconfig": "config", ".gitignore": "config",
         "layers": "config", "list": "config", "LICENSE": "prose"}


def kind(path, text):
    """The language of a file; None: it is not text that people write (a corpus of a fuzzer)."""
    path = pathlib.PurePath(path)
    if "corpus" in path.parts:
        return None
    if text.startswith("#!"):
        return "python" if "python" in text.split("\n", 1)[0] else "shell"
    return NAMES.get(path.name) or SUFFIXES.get(path.suffix)


def files():
    """The paths of all files that git tracks or would track, without those that are deleted in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, stdout=subprocess.PIPE,
                            text=True, check=True)
    return sorted(f for f in listed.stdout.split("\0") if f and (ROOT / f).is_file())


def read(path):
    """The text of a file; bytes that are not UTF-8 are replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def violations(rule, path, text):
    return [f"{path}:{line}: {message}" for line, message in rule.check(path, text)]


def self_test(rules):
    """Complaints about rules that reject their good sample or accept their bad one."""
    for name, rule in rules.items():
        for path, text in rule.good:
            yield from (f"self-test: {name} rejects a good sample: {v}" for v in violations(rule, path, text))
        for path, text in rule.bad:
            if not violations(rule, path, text):
                yield f"self-test: {name} accepts a bad sample: {path}: {text[:60]!r}"


def report(complaints):
    """Prints them. Returns the exit status of a checker."""
    complaints = list(complaints)
    print("".join(f"{c}\n" for c in complaints), end="")
    return int(bool(complaints))


def main(rules, names, fix=None):
    """A checker's main program. names: its rules that are checked by default. Arguments: --self-test, --fix (rewrites
    files by fix(path, text)), or the names of rules."""
    arguments = sys.argv[1:]
    if "--self-test" in arguments:
        return report(self_test(rules))
    if fix and "--fix" in arguments:
        for path in files():
            text = read(path)
            fixed = fix(path, text)
            if fixed != text:
                (ROOT / path).write_text(fixed, encoding="utf-8")
        return 0
    unknown = [a for a in arguments if a not in rules]
    if unknown:
        sys.exit(f"unknown argument {unknown[0]}; the rules are: {' '.join(rules)}")
    chosen = [rules[n] for n in arguments or names]
    texts = ((path, read(path)) for path in files())
    return report(v for path, text in texts for rule in chosen for v in violations(rule, path, text))
