"""A pull request from its commits to its comment, with the actions' own shell steps.

A real repository: the base, a branch that makes a model bigger and adds another, a target branch
that moves on meanwhile, and the merge commit that CI checks out, two commits deep.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import html5lib
import junitparser
import pytest
import yaml
from campaigns import rare
from github_api import GitHub
from github_api import serving
from small_projects import BOARD
from small_projects import commit
from small_projects import git
from small_projects import keywords
from small_projects import put


ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="the shell steps are checked where bash is at home"),
    pytest.mark.skipif(
        not (shutil.which("git") and shutil.which("bash")), reason="needs git, bash"
    ),
]

#: kws fits on the base and not in the change; vad is new; wake grows on the target branch.
DECLARATION = f"""\
schema = 1

[defaults]
boards = ["{BOARD}"]

[models.kws]
source = "models/kws.tflite"
budget = {{ ram = "8 KB" }}

[models.wake]
source = "models/wake.tflite"
"""
ADDED = """
[models.vad]
source = "models/vad.tflite"
"""


@dataclass
class Runner:
    """Runs a composite action's shell steps as GitHub's runner does, in ``workspace``."""

    workspace: Path
    temp: Path
    event: Any
    environment: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    def run(self, action: Path, *, install: bool = False, **inputs: str) -> int:
        """The exit code of the first step that fails, else 0.

        ``install`` also runs the step that does, which once is enough.
        """
        definition = yaml.safe_load((action / "action.yml").read_text("utf-8"))
        given = {
            name: inputs.get(name, self._value(declared.get("default", ""), {}))
            for name, declared in definition["inputs"].items()
        }
        assert set(inputs) <= set(given)
        for number, step in enumerate(definition["runs"]["steps"]):
            if "run" in step and (install or step["name"] != "Install"):
                code = self._step(step, number, action, given)
                if code:
                    return code
        return 0

    def _step(self, step: Any, number: int, action: Path, inputs: dict[str, str]) -> int:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input in the text of a script can be a command"
        event, output, script = (
            self.temp / name for name in ("event.json", f"output{number}", f"step{number}.sh")
        )
        event.write_text(json.dumps(self.event), encoding="utf-8")
        output.touch()
        script.write_text(step["run"], encoding="utf-8")
        environment = {
            **os.environ,
            **self.environment,
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_PATH": str(self.temp / "path"),
            "GITHUB_ENV": str(self.temp / "env"),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "GITHUB_WORKSPACE": str(self.workspace),
            **{name: self._value(text, inputs) for name, text in step.get("env", {}).items()},
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        self.log += done.stdout
        lines = (line.partition("=") for line in output.read_text("utf-8").splitlines())
        self.outputs[step.get("id", str(number))] = {name: value for name, _, value in lines}
        return done.returncode

    def _value(self, text: str, inputs: dict[str, str]) -> str:
        """``text`` with the expressions that the actions use."""
        contexts = {
            "github.token": "secret",
            "runner.temp": str(self.temp),
            "steps.python.outputs.python-path": "",  # as where no Python is to be set up
            "steps.install.outputs.python": self.environment.get("INSTALLED", ""),
            **{f"inputs.{name}": value for name, value in inputs.items()},
        }
        for step, values in self.outputs.items():
            contexts |= {f"steps.{step}.outputs.{name}": value for name, value in values.items()}
        return re.sub(r"\$\{\{ ([a-z.-]+) \}\}", lambda match: contexts[match[1]], text)

    @property
    def commands(self) -> list[str]:
        """The annotations in the log."""
        lines = self.log.splitlines()
        return [line for line in lines if re.match("::(error|warning|notice) ", line)]


@dataclass
class Checkout:
    """What CI has after its checkout, and what its run has left."""

    runner: Runner
    code: int
    base: str
    merge_base: str

    @property
    def folder(self) -> Path:
        return self.runner.workspace / "build" / "tinybudget"

    @property
    def summary(self) -> str:
        return (self.runner.temp / "summary.md").read_text("utf-8")


#: The job's ``python``: environments come without pip, which is this one's, so that they are made
#: in no time.
PYTHON = """\
#!/bin/sh
if [ "$2" = venv ]; then exec "{python}" -m venv --without-pip "$3"; fi
exec "{python}" "$@"
"""


def offline_python(folder: Path) -> dict[str, str]:
    """The environment in which a job's ``python`` makes others, and pip needs no network."""
    tools = folder / "bin"
    tools.mkdir()
    python = tools / "python"
    python.write_text(PYTHON.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    offline = ("NO_INDEX", "NO_DEPS")
    return {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_BUILD_ISOLATION": "0",  # an option with "no" in its name: 0 is what sets it
        **{f"PIP_{name}": "1" for name in offline},
    }


def origin_with_pull_request(origin: Path) -> tuple[str, str]:
    """Tip of the target branch and where the branch left it; the merge is ``pull/1/merge``."""
    origin.mkdir()
    git(origin, "init", "--quiet")
    (origin / "tinybudget.toml").write_text(DECLARATION, encoding="utf-8")
    put(origin, kws=keywords(filters=8), wake=keywords(filters=4, name="wake"))
    merge_base = commit(origin, "base")
    git(origin, "checkout", "--quiet", "-b", "bigger")
    (origin / "tinybudget.toml").write_text(DECLARATION + ADDED, encoding="utf-8")
    put(origin, kws=keywords(filters=64), vad=keywords(filters=2, name="vad", logistic=True))
    commit(origin, "a bigger kws, and vad")
    git(origin, "checkout", "--quiet", "main")
    put(origin, wake=keywords(filters=6, name="wake"))
    tip = commit(origin, "others go on")
    git(origin, "checkout", "--quiet", "--detach")
    git(origin, "merge", "--quiet", "--no-ff", "--message", "Merge bigger into main", "bigger")
    git(origin, "update-ref", "refs/pull/1/merge", "HEAD")
    return tip, merge_base


def fetch_merge(origin: Path, folder: Path, *, depth: int = 2) -> str:
    """Check the pull request's merge out in ``folder``, as ``actions/checkout`` does."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", origin.as_uri())
    ref = "+refs/pull/1/merge:refs/remotes/pull/1/merge"
    git(folder, "fetch", "--quiet", f"--depth={depth}", "origin", ref)
    git(folder, "checkout", "--quiet", "--force", "refs/remotes/pull/1/merge")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The gate's action on the pull request, run once for all tests here."""
    folder = tmp_path_factory.mktemp("pull request")
    base, merge_base = origin_with_pull_request(folder / "origin")
    workspace, temp = folder / "workspace", folder / "temp"
    temp.mkdir()
    head = fetch_merge(folder / "origin", workspace)
    event = {"pull_request": {"number": 1, "merge_commit_sha": head}}
    environment = {
        **offline_python(folder),
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REF": "refs/pull/1/merge",
        "GITHUB_SHA": head,
    }
    runner = Runner(workspace, temp, event, environment)
    code = runner.run(ROOT, install=True)
    environment["INSTALLED"] = runner.outputs["install"]["python"]
    return Checkout(runner, code, base, merge_base)


def test_the_gate_is_red_and_says_so_in_its_outputs(checkout: Checkout) -> None:
    assert checkout.code == 1, checkout.runner.log
    assert checkout.runner.outputs["gate"] == {
        "verdict": "failed",
        "pairs": "3",
        "failed": "1",
        "new_failures": "1",
        "old_failures": "0",
        "informational": "0",
        "warned": "0",
        "changed": "2",
    }


def test_it_compares_with_the_first_parent_not_the_merge_base(checkout: Checkout) -> None:
    (stored,) = (checkout.folder / "base").iterdir()
    assert stored.stem == checkout.base
    assert checkout.base[:12] in checkout.summary
    assert checkout.merge_base[:12] not in checkout.summary


def test_the_summary_has_the_overrun_first_and_does_not_blame_others_changes(
    checkout: Checkout,
) -> None:
    rows = [line for line in checkout.summary.splitlines() if line.startswith("|")][2:]
    assert re.search(r"❌ FAIL \| <code>kws</code>.*\| \*\*.* of 8\.0 KB.*\+", rows[0])
    assert "<code>vad</code> new" in rows[1]
    folded = checkout.summary.partition("<summary>1 pair unchanged</summary>")[2]
    assert "<code>wake</code>" in folded
    assert "layer changed" in checkout.summary
    assert "operator <code>LOGISTIC</code>" not in folded


def test_one_annotation_stands_at_the_budget_that_is_exceeded(checkout: Checkout) -> None:
    (command,) = checkout.runner.commands
    assert command.startswith("::error file=tinybudget.toml,line=8,title=kws on ")
    assert "RAM over by" in command


def test_junit_and_page_tell_the_same(checkout: Checkout) -> None:
    (suite,) = junitparser.JUnitXml.fromfile(str(checkout.folder / "junit.xml"))
    assert (suite.name, suite.tests, suite.failures) == ("tinybudget.toml", 3, 1)
    page = (checkout.folder / "tinybudget.html").read_text("utf-8")
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    opened = [
        "".join(each.find("summary/h3").itertext())
        for each in tree.iter("details")
        if each.get("class") == "model" and "open" in each.attrib
    ]
    assert opened[0] == "kws"
    assert checkout.base[:12] in page


def test_the_work_tree_is_as_it_was_but_for_the_results(checkout: Checkout) -> None:
    status = git(checkout.runner.workspace, "status", "--porcelain")
    assert status == "?? build/"
    assert git(checkout.runner.workspace, "worktree", "list").count("\n") == 0


@pytest.fixture
def comment(checkout: Checkout, tmp_path: Path) -> Iterator[Callable[..., GitHub]]:
    """Runs the second workflow on the folder ``results``, which it has of the first one alone.

    Its working folder has no checkout; GitHub is a stand-in.
    """
    elsewhere = tmp_path / "workspace"
    elsewhere.mkdir()
    with serving() as api:
        environment = {
            **checkout.runner.environment,
            "GITHUB_API_URL": api.url,
            "GITHUB_REPOSITORY": "owner/repository",
        }

        def run(results: Path, **inputs: str) -> GitHub:
            event = {"pull_request": {"number": 1}}
            runner = Runner(elsewhere, tmp_path, event, environment)
            code = runner.run(ROOT / "comment", results=str(results), **inputs)
            api.log = runner.log
            assert code == 0, runner.log
            return api

        yield run


def table(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_comment_is_made_of_the_results_alone(
    checkout: Checkout, tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    results = tmp_path / "memory-budgets"
    shutil.copytree(checkout.folder, results)
    api = comment(results)
    ((method, path, body),) = api.writes
    assert (method, path) == ("POST", "/repos/owner/repository/issues/1/comments")
    marker, _, text = body.partition("\n")
    assert marker == "<!-- pytest-tinybudget default -->"
    assert text.startswith("### ❌ Memory budgets: 1 of 3 pairs fails")
    assert f"commit {checkout.base[:12]}" in body
    assert table(body) == table(checkout.summary)


def test_a_token_that_may_not_comment_is_a_warning_that_says_where_to_comment(
    checkout: Checkout, tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    comment(tmp_path)  # nothing there: only the stand-in is made
    api = comment(checkout.folder)
    assert len(api.comments) == 1
    api.comments.clear()
    api.refusals = [(200, {}, ""), (403, {}, "Resource not accessible by integration")]
    log = comment(checkout.folder).log
    (warning,) = [line for line in log.splitlines() if line.startswith("::")]
    assert "Resource not accessible by integration" in warning
    assert "the comment belongs in a workflow_run workflow" in warning


def test_a_change_that_costs_nothing_has_nothing_to_comment(
    checkout: Checkout, tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    results = tmp_path / "memory-budgets"
    (results / "base").mkdir(parents=True)
    (stored,) = (checkout.folder / "base").iterdir()
    shutil.copy(stored, results / "base")
    same = json.loads(stored.read_text("utf-8"))
    same["repositories"][0]["base"] = {"commit": checkout.base, "found": "HEAD"}
    (results / "tinybudget.json").write_text(json.dumps(same), encoding="utf-8")
    api = comment(results)
    assert (tmp_path / "tinybudget-comment.md").read_text("utf-8") == ""
    assert api.writes == []


def test_the_comment_picks_its_base_by_content_not_by_the_order_of_names(
    checkout: Checkout, tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    """A cache may have brought the results of other commits into the folder."""
    results = tmp_path / "memory-budgets"
    shutil.copytree(checkout.folder, results)
    (stored,) = (results / "base").iterdir()
    other = json.loads(stored.read_text("utf-8"))
    other["repositories"][0]["commit"] = checkout.merge_base
    other["pairs"] = []
    (results / "base" / f"{'0' * 40}.json").write_text(json.dumps(other), encoding="utf-8")
    stored.rename(stored.with_name("z.json"))
    body = comment(results).comments[0]["body"]
    assert table(body) == table(checkout.summary)
    assert f"commit {checkout.base[:12]} (first parent of the merge commit)" in body


def test_the_jobs_of_a_matrix_get_one_comment_with_the_base_of_each(
    checkout: Checkout, tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    """Each has an artifact of its own, and download-artifact makes a folder of each."""
    (stored,) = (checkout.folder / "base").iterdir()
    for name, models in (("one", ("kws",)), ("two", ("vad", "wake"))):
        for source, target in (
            (checkout.folder / "tinybudget.json", "tinybudget.json"),
            (stored, f"base/{stored.stem}-{name}.json"),
        ):
            part = json.loads(source.read_text("utf-8"))
            part["pairs"] = [each for each in part["pairs"] if each["model"]["name"] in models]
            file = tmp_path / "artifacts" / name / target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(part), encoding="utf-8")
    ((_, _, body),) = comment(tmp_path / "artifacts").writes
    assert table(body) == table(checkout.summary)


def test_a_threshold_of_the_workflow_does_not_silence_a_new_failure(
    checkout: Checkout, comment: Callable[..., GitHub], tmp_path: Path
) -> None:
    assert len(comment(checkout.folder, above="1MB").comments) == 1
    results = tmp_path / "memory-budgets"
    shutil.copytree(checkout.folder, results)
    found = json.loads((results / "tinybudget.json").read_text("utf-8"))
    found["pairs"] = [each for each in found["pairs"] if each["outcome"] == "fits"]
    (results / "tinybudget.json").write_text(json.dumps(found), encoding="utf-8")
    assert "nothing left to report" in comment(results, above="1MB").comments[0]["body"]
    body = comment(results, **{"only-new-failures": "true"}).comments[0]["body"]
    assert "nothing left to report" in body
    assert "new" in comment(results, above="1KB").comments[0]["body"]


def test_a_gate_that_ended_early_leaves_nothing_to_comment(
    tmp_path: Path, comment: Callable[..., GitHub]
) -> None:
    api = comment(tmp_path / "none")
    assert "no results" in api.log
    assert api.writes == []


@pytest.mark.parametrize(
    "value",
    ["$(touch owned)", rare("a; touch owned"), rare("`touch owned`"), rare("' \" \\")],
)
def test_no_input_is_taken_for_a_command(checkout: Checkout, value: str) -> None:
    runner = checkout.runner
    again = Runner(runner.workspace, runner.temp, runner.event, runner.environment)
    assert again.run(ROOT, paths=value, base="", output=value) == 2
    assert not (runner.workspace / "owned").exists()


def test_several_paths_are_given_a_line_each(checkout: Checkout) -> None:
    runner = checkout.runner
    again = Runner(runner.workspace, runner.temp, runner.event, runner.environment)
    paths = "tinybudget.toml::vad\n\ntinybudget.toml::wake\n"
    assert again.run(ROOT, paths=paths, base="", output="build/two") == 0, again.log
    assert again.outputs["gate"]["pairs"] == "2"


def beside(checkout: Checkout, folder: Path, *, depth: int) -> Runner:
    """A runner whose checkout of the pull request has ``path: firmware``."""
    workspace = folder / "workspace"
    fetch_merge(checkout.runner.workspace.parent / "origin", workspace / "firmware", depth=depth)
    environment = {**checkout.runner.environment, "GIT_CEILING_DIRECTORIES": str(folder)}
    return Runner(workspace, folder, checkout.runner.event, environment)


def test_a_checkout_with_a_path_of_its_own_is_compared_as_well(
    checkout: Checkout, tmp_path: Path
) -> None:
    runner = beside(checkout, tmp_path, depth=2)
    assert runner.run(ROOT) == 1, runner.log
    assert runner.outputs["gate"] == checkout.runner.outputs["gate"]
    summary = (tmp_path / "summary.md").read_text("utf-8")
    assert f"commit {checkout.base[:12]} (first parent of the merge commit)" in summary
    (command,) = runner.commands
    assert command.startswith("::error file=tinybudget.toml,line=8,title=kws on ")


def test_a_checkout_too_shallow_for_a_base_is_not_plain_green(
    checkout: Checkout, tmp_path: Path
) -> None:
    runner = beside(checkout, tmp_path, depth=1)
    declaration = runner.workspace / "firmware" / "tinybudget.toml"
    text = declaration.read_text("utf-8").replace(
        "[defaults]", "[defaults]\nmax_increase.bytes = 0"
    )
    declaration.write_text(text.replace("budget = ", "# budget = "), encoding="utf-8")
    assert runner.run(ROOT) == 0, runner.log
    assert runner.outputs["gate"]["warned"] == "3"
    models = {re.search(r"title=(\w+) on", line)[1] for line in runner.commands}
    assert models == {"kws", "vad", "wake"}
    assert all("growth not checked" in line for line in runner.commands)
    assert all(line.startswith("::warning ") for line in runner.commands)
    heading = (tmp_path / "summary.md").read_text("utf-8").splitlines()[0]
    assert heading.endswith("all pairs fit, growth not checked for 3 pairs")
    assert runner.run(ROOT, **{"require-base": "true"}) == 2, runner.log


#: A ``python`` as on Windows: its environments have ``Scripts/python.exe``. It tells its arguments.
WINDOWS_PYTHON = """\
#!/bin/sh
if [ "$2" = venv ]; then
    mkdir -p "$3/Scripts"
    cp "$0" "$3/Scripts/python.exe"
else
    printf '%s\\n' "${0##*/}" "$@"
fi
"""


@pytest.mark.parametrize("action", ["", "comment"])
def test_it_installs_into_an_environment_of_its_own_also_as_windows_lays_it_out(
    action: str, tmp_path: Path
) -> None:
    """Windows itself is not here: this is the layout that its Python makes."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("python", "python3"):
        (tools / name).write_text(WINDOWS_PYTHON, encoding="utf-8")
        (tools / name).chmod(0o755)
    environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    temp = tmp_path / "runner temp"
    temp.mkdir()
    runner = Runner(tmp_path, temp, {}, environment)
    inputs = {} if action else {"extras": "tensorflow", "packages": "pillow==12.0\nmy_layers\n"}
    assert runner.run(ROOT / action, install=True, **inputs, **RESULTS_OF[action]) == 0, runner.log
    python = temp / "pytest-tinybudget" / "Scripts" / "python.exe"
    assert runner.outputs["install"] == {"python": str(python)}
    told = runner.log.splitlines()
    assert told[:4] == ["python.exe", "-m", "pip", "install"]
    if not action:
        assert told[told.index("--") + 1 :][:3] == [
            f"{ROOT}[tensorflow]",
            "pillow==12.0",
            "my_layers",
        ]
        gate = told.index("check")
        assert told[gate - 3 : gate] == ["python.exe", "-m", "pytest_tinybudget"]
    assert not (temp / "path").exists(), "the job's own programs stay what they are"
    assert not (temp / "env").exists()


RESULTS_OF: dict[str, dict[str, str]] = {"": {}, "comment": {"results": "none"}}


@pytest.mark.parametrize("action", [ROOT, ROOT / "comment"], ids=["gate", "comment"])
def test_the_python_that_is_set_up_is_not_put_on_the_jobs_path(action: Path) -> None:
    steps = yaml.safe_load((action / "action.yml").read_text("utf-8"))["runs"]["steps"]
    (setup,) = [step for step in steps if "setup-python" in step.get("uses", "")]
    assert setup["with"]["update-environment"] is False
    (install,) = [step for step in steps if step["name"] == "Install"]
    assert install["env"]["PYTHON"] == f"${{{{ steps.{setup['id']}.outputs.python-path }}}}"
