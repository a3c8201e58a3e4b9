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
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import html5lib
import junitparser
import pytest
import yaml
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
            name: inputs.get(name, declared.get("default", ""))
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
            **{f"inputs.{name}": value for name, value in inputs.items()},
        }
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


#: ``python`` of the steps: this one; what pip installs goes to ``site``, without the network.
PYTHON = """\
#!/bin/sh
if [ "$1 $2 $3" = "-m pip install" ]; then
    shift 3
    set -- -m pip install --no-index --no-deps --no-build-isolation --upgrade \\
        --target "{site}" "$@"
fi
exec "{python}" "$@"
"""


def offline_python(folder: Path) -> dict[str, str]:
    """The environment in which a step's ``python`` needs no network."""
    tools, site = folder / "bin", folder / "site"
    tools.mkdir()
    python = tools / "python"
    python.write_text(PYTHON.format(site=site, python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    return {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(site)}


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


def test_the_comment_is_made_of_the_results_alone(checkout: Checkout, tmp_path: Path) -> None:
    """The second workflow has the uploaded folder and no checkout; its network is cut here."""
    results = tmp_path / "memory-budgets"
    shutil.copytree(checkout.folder, results)
    elsewhere = tmp_path / "workspace"
    elsewhere.mkdir()
    event = {"pull_request": {"number": 1}}
    environment = {
        **checkout.runner.environment,
        "GITHUB_API_URL": "http://127.0.0.1:9",
        "GITHUB_REPOSITORY": "owner/repository",
    }
    runner = Runner(elsewhere, tmp_path, event, environment)
    assert runner.run(ROOT / "comment", install=True, results=str(results)) == 0, runner.log
    body = (tmp_path / "tinybudget-comment.md").read_text("utf-8")
    assert body.startswith("### ❌ Memory budgets: 1 of 3 pairs fails")
    assert f"commit {checkout.base[:12]}" in body
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert rows == [line for line in checkout.summary.splitlines() if line.startswith("|")]
    (warning,) = runner.commands
    assert warning.startswith("::warning title=memory budgets::no comment: ")


def test_a_change_that_costs_nothing_has_nothing_to_comment(
    checkout: Checkout, tmp_path: Path
) -> None:
    results = tmp_path / "memory-budgets"
    (results / "base").mkdir(parents=True)
    (stored,) = (checkout.folder / "base").iterdir()
    shutil.copy(stored, results / "base")
    same = json.loads(stored.read_text("utf-8"))
    same["repositories"][0]["base"] = {"commit": checkout.base, "found": "HEAD"}
    (results / "tinybudget.json").write_text(json.dumps(same), encoding="utf-8")
    runner = Runner(
        tmp_path, tmp_path, {"pull_request": {"number": 1}}, checkout.runner.environment
    )
    runner.environment = {
        **runner.environment,
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_API_URL": "http://127.0.0.1:9",
    }
    assert runner.run(ROOT / "comment", results=str(results)) == 0, runner.log
    assert (tmp_path / "tinybudget-comment.md").read_text("utf-8") == ""


def test_the_comment_picks_its_base_by_content_not_by_the_order_of_names(
    checkout: Checkout, tmp_path: Path
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
    environment = {
        **checkout.runner.environment,
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_API_URL": "http://127.0.0.1:9",
    }
    runner = Runner(tmp_path, tmp_path, {"pull_request": {"number": 1}}, environment)
    assert runner.run(ROOT / "comment", results=str(results)) == 0, runner.log
    body = (tmp_path / "tinybudget-comment.md").read_text("utf-8")
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert rows == [line for line in checkout.summary.splitlines() if line.startswith("|")]
    assert f"commit {checkout.base[:12]} (first parent of the merge commit)" in body


def test_a_gate_that_ended_early_leaves_nothing_to_comment(
    checkout: Checkout, tmp_path: Path
) -> None:
    runner = Runner(tmp_path, tmp_path, {}, checkout.runner.environment)
    assert runner.run(ROOT / "comment", results=str(tmp_path / "none")) == 0, runner.log
    assert "no results" in runner.log


@pytest.mark.parametrize("value", ["$(touch owned)", "a; touch owned", "`touch owned`", "' \" \\"])
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
    assert command.startswith("::error file=firmware/tinybudget.toml,line=8,title=kws on ")


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
