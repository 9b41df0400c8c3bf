"""Whether the operator cases notice a wrong compiler: ``mutation_check.py [NAME …]``.

Each mutant of ``tests/cases/mutants.yml`` is one wrong text in a copy of the compiler, and the
cases of ``tests/cases/operators`` that must fail by it. Invariant: no mutant is run before all of
these cases pass on the code as it is, and the exit code is 0 only if an oracle finds every mutant:
an assertion on rows, or the engine, which counts other rows than the delta announced.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click
import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "cases" / "mutants.yml"
COPIED = ("trickle_runtime", "tests")
TESTS = "tests/integration/test_operator_cases.py"
SECONDS = 240  # for the cases of one mutant, which may never end
ORACLES = ("AssertionError", "trickle_runtime.errors.Diverged")
# Assertions that say nothing of rows: a query that does not compile makes the table FULL, and a
# refresh may be skipped.
NO_ROWS = re.compile(r"\)\.(effective_mode|status)\b")


@dataclass(frozen=True)
class Mutant:
    """One wrong text.

    Attributes:
        name: the module and what is wrong.
        path: of the file, from the root of the repository.
        old: what stands there, exactly once.
        new: what stands there instead.
        cases: pytest's ``-k`` for the operator cases that must fail.
    """

    name: str
    path: str
    old: str
    new: str
    cases: str


@dataclass(frozen=True)
class Outcome:
    """How the cases of one selection ended.

    Attributes:
        verdict: ``passed``; ``killed``: by an oracle; ``timeout``; ``broken``: anything else.
        detail: what there is to say of it.
    """

    verdict: str
    detail: str = ""


def table() -> list[Mutant]:
    """Read the mutants."""
    modules: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(TABLE.read_text("utf-8"))
    return [
        Mutant(f"{module}:{wrong}", f"trickle_runtime/compiler/{module}.py", **texts)
        for module, mutants in modules.items()
        for wrong, texts in mutants.items()
    ]


def mutated(mutant: Mutant, root: Path) -> str:
    """Return the mutant's text of its file; fail unless the old text occurs once."""
    text = (root / mutant.path).read_text(encoding="utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise click.ClickException(
            f"{mutant.name}: the old text occurs {found} times in {mutant.path}; it must once"
        )
    changed = text.replace(mutant.old, mutant.new)
    compile(changed, mutant.path, "exec")
    return changed


def apply(mutant: Mutant, root: Path) -> None:
    """Put the mutant into a copy, and drop the compiled file, which may look current."""
    file = root / mutant.path
    file.write_text(mutated(mutant, root), encoding="utf-8")
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def copy(source: Path, target: Path) -> None:
    """Copy the package, the tests and their configuration."""
    for name in COPIED:
        shutil.copytree(source / name, target / name)
    shutil.copy2(source / "pyproject.toml", target / "pyproject.toml")


def check_import(root: Path) -> None:
    """Fail unless Python started in the copy imports the copy."""
    command = [sys.executable, "-c", "import trickle_runtime; print(trickle_runtime.__file__)"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    if not Path(shown.strip()).resolve().is_relative_to(root.resolve()):
        raise click.ClickException(f"the copy in {root} imports {shown.strip()}")


def run(root: Path, cases: str, seconds: float) -> Outcome:
    """Run the selected cases in a copy, up to the first failure."""
    report = root / "report.xml"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", TESTS, "-k", cases]
    try:
        ended = subprocess.run(
            command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:  # it was killed, and its server ends with it
        return Outcome("timeout", f"no end in {seconds} s")
    if ended.returncode not in (0, 1) or not report.exists():
        return Outcome("broken", f"pytest ended with {ended.returncode}: {ended.stdout[-500:]}")
    tests = list(ElementTree.parse(report).iter("testcase"))
    return _passed(tests) if ended.returncode == 0 else _failure(tests)


def _passed(tests: list[ElementTree.Element]) -> Outcome:
    """Tell a success from cases that this server can't run."""
    if all(test.find("skipped") is not None for test in tests):
        return Outcome("broken", "every case was skipped")
    return Outcome("passed")


def _failure(tests: list[ElementTree.Element]) -> Outcome:
    """Tell wrong rows, which an oracle finds, from errors, which need none."""
    for case in tests:
        for found in (*case.iter("failure"), *case.iter("error")):
            message = found.get("message", "")
            wrong = found.tag == "failure" and message.startswith(ORACLES)
            verdict = "killed" if wrong and not NO_ROWS.search(message) else "broken"
            return Outcome(verdict, f"{case.get('name')}: {' '.join(message.split())[:200]}")
    return Outcome("broken", "no failure in the report")


def chosen(names: tuple[str, ...]) -> list[Mutant]:
    """Return the mutants of which a part of the name was given, or all."""
    every = table()
    found = [m for m in every if not names or any(name in m.name for name in names)]
    if not found:
        raise click.UsageError(f"no mutant is called like {' or '.join(names)}")
    return found


def check_healthy(base: Path, mutants: list[Mutant]) -> None:
    """Fail unless the cases of all mutants pass on the code as it is."""
    selections = dict.fromkeys(f"({mutant.cases})" for mutant in mutants)
    outcome = run(base, " or ".join(selections), SECONDS * len(selections))
    if outcome.verdict != "passed":
        raise click.ClickException(f"the cases fail without a mutant: {outcome.detail}")
    click.echo("passed    without a mutant")


def judged(mutant: Mutant, base: Path, verbose: bool) -> str:
    """Run the cases of a mutant on a copy that has it; print and return the verdict."""
    place = base.with_name("mutant")
    copy(base, place)
    apply(mutant, place)
    outcome = run(place, mutant.cases, SECONDS)
    shutil.rmtree(place)
    verdict = "survived" if outcome.verdict == "passed" else outcome.verdict
    shown = outcome.detail if verbose or verdict != "killed" else ""
    click.echo(f"{verdict:9} {mutant.name}  {shown}".rstrip())
    return verdict


@click.command()
@click.argument("names", nargs=-1)
@click.option("--verbose", is_flag=True, help="Show the assertion that killed each mutant.")
def main(names: tuple[str, ...], verbose: bool) -> None:
    """Run the cases against each mutant, one after the other.

    NAMES, or parts of them, choose some mutants.
    """
    mutants = chosen(names)
    for mutant in mutants:
        mutated(mutant, ROOT)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        base = Path(folder) / "base"
        copy(ROOT, base)
        check_import(base)
        check_healthy(base, mutants)
        verdicts = [judged(mutant, base, verbose) for mutant in mutants]
    counts = Counter(verdicts)
    shown = [f"{counts.pop(verdict, 0)} {verdict}" for verdict in ("killed", "survived")]
    shown += [f"{number} {verdict}" for verdict, number in counts.items()]
    seconds = time.monotonic() - started
    click.echo(f"{len(mutants)} mutants: {', '.join(shown)}; {seconds:.0f} s")
    if set(verdicts) != {"killed"}:
        raise click.ClickException("not every mutant was killed")


if __name__ == "__main__":
    main()
