"""What a reviewer has to read: sizes and lines of every report for ten models on four boards.

``review.py --models DIR [--keep FOLDER]``: makes a repository with ten public models of DIR, a
commit that changes four of them, and limits that thirteen of forty pairs exceed, six of them
because of that commit. Then it runs the gate and every report as a pull request would, and the gate
on 800 pairs that pass. It prints bytes and lines against what a reader can be asked to read, and
exits with 1 where one is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_tinybudget import shrink


BOARDS = (
    "arduino-nano-33-ble",
    "raspberry-pi-pico",
    "stm32f746g-discovery",
    "nucleo-l432kc",
)
#: Name, file among the public models; what it may take of flash and RAM, and grow, KB.
MODELS = (
    ("wake_word", "mww_okay_nabu.tflite", 180, 48, 32),
    ("keywords", "mlperf_kws_int8.tflite", 140, 48, 4),
    ("visual_wake", "mlperf_vww_int8.tflite", 440, 128, 32),
    ("image_class", "mlperf_resnet_int8.tflite", 172.5, 96, 32),
    ("anomaly", "mlperf_ad01_int8.tflite", 360, 24, 32),
    ("person", "person_detect.tflite", 400, 110, 32),
    ("alexa", "mww_alexa.tflite", 180, 40, 32),
    ("speech", "micro_speech_quantized.tflite", 100, 24, 32),
    ("sine", "hello_world_int8.tflite", 80, 8, 32),
    ("machine", "tiny_model_ToyCar_quant.tflite", 340, 24, 32),
)
#: The commit brings these in another state: what shrinking takes out is in them again.
CHANGED = ("wake_word", "keywords", "image_class", "sine")

#: Report, unit, most.
TARGETS = (
    ("comment", "bytes", 12_000),
    ("diff", "lines", 120),
    ("log", "lines", 250),
    ("summary", "bytes", 12_000),
    ("digest", "bytes", 20_000),
    ("page", "bytes", 600_000),
    ("many", "lines", 50),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of public models")
    parser.add_argument("--keep", type=Path, help="folder to leave the repository and reports in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.keep or Path(folder) / "repository"
        make_repository(root, arguments.models)
        reports = write_reports(root)
    return table(reports)


def make_repository(root: Path, models: Path) -> None:
    """Two commits: the base and the change."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "models").mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("build/\nreports/\n")
    (root / "tinybudget.toml").write_text(declaration())
    (root / "many").mkdir()
    (root / "many" / "tinybudget.toml").write_text(many())
    for name, file, *_ in MODELS:
        content = (models / file).read_bytes()
        if name in CHANGED:
            content = shrink(content).content
        (root / "models" / f"{name}.tflite").write_bytes(content)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "The models as they were")
    git(root, "checkout", "-q", "-b", "change")
    for name, file, *_ in MODELS:
        shutil.copy(models / file, root / "models" / f"{name}.tflite")
    git(root, "commit", "-q", "-a", "-m", "Newly trained models")


def declaration() -> str:
    boards = ", ".join(f'"{board}"' for board in BOARDS)
    head = f'schema = 1\n\n[defaults]\nboards = [{boards}]\nruntime = "tflite-micro 90b983c2"\n'
    tables = [
        f'[models.{name}]\nsource = "models/{name}.tflite"\n'
        f'budget = {{ flash = "{flash} KB", ram = "{ram} KB" }}\n'
        f'max_increase = {{ bytes = "{growth} KB" }}\n'
        for name, _, flash, ram, growth in MODELS
    ]
    return "\n".join([head, *tables])


def many() -> str:
    """800 pairs that pass: five models under forty names each, on the boards that hold them."""
    boards = ", ".join(f'"{board}"' for board in BOARDS)
    head = f'schema = 1\n\n[defaults]\nboards = [{boards}]\nruntime = "tflite-micro 90b983c2"\n'
    small = ("wake_word", "keywords", "alexa", "speech", "sine")
    tables = [
        f'[models.{name}_{number}]\nsource = "../models/{name}.tflite"\n'
        for name in small
        for number in range(40)
    ]
    return "\n".join([head, *tables])


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=reviewer", "-c", "user.email=reviewer@example.org")
    subprocess.run(["git", *who, *arguments], cwd=root, check=True)


def write_reports(root: Path) -> dict[str, str]:
    """Every report's text, by its name in ``TARGETS`` and others for the record."""
    reports = root / "reports"
    reports.mkdir()
    step = reports / "step.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(step)}
    python = [sys.executable, "-m"]
    files = ["--json=reports/results.json", "--html", "reports/page.html"]
    compared = ["--base", "HEAD^", "--store", "reports/base"]
    here, gate = ["tinybudget.toml"], ["--tinybudget", "--tinybudget-base=HEAD^"]
    report = [*python, "pytest_tinybudget", "report", "reports/results.json"]
    texts = {
        "log": run(
            root,
            [*python, "pytest", *gate, *here, "-pno:cacheprovider"],
            environment,
        ),
        "terminal": run(root, [*python, "pytest_tinybudget", "check", *here, *files, *compared]),
        "diff": run(root, [*python, "pytest_tinybudget", "diff", *here, "--base", "HEAD^"]),
        "comment": run(root, [*report, "--store", "reports/base", "--format", "markdown"]),
        "digest": run(root, [*report, "--store", "reports/base", "--format", "digest"]),
        "many": run(root, [*python, "pytest_tinybudget", "check", "many"]),
    }
    texts["summary"] = step.read_text()
    texts["page"] = (reports / "page.html").read_text()
    texts["json"] = (reports / "results.json").read_text()
    for name, text in texts.items():
        (reports / f"{name}.txt").write_text(text)
    return texts


def run(root: Path, command: list[str], environment: dict[str, str] | None = None) -> str:
    cleared = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB")}
    settings = {**cleared, "COLUMNS": "100", **(environment or {})}
    done = subprocess.run(
        command,
        cwd=root,
        env=settings,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def table(reports: dict[str, str]) -> int:
    missed = 0
    print(f"{'report':14}{'bytes':>10}{'lines':>8}  target")
    targets = {name: (unit, most) for name, unit, most in TARGETS}
    for name, text in sorted(reports.items()):
        sizes = {"bytes": len(text.encode()), "lines": text.count("\n")}
        unit, most = targets.get(name, ("", 0))
        met = not unit or sizes[unit] <= most
        missed += not met
        target = f"{most:,} {unit}: {'met' if met else 'MISSED'}" if unit else ""
        print(f"{name:14}{sizes['bytes']:10,}{sizes['lines']:8,}  {target}")
    counts = re.findall(r"^\d+ pairs: .*", reports["terminal"], re.MULTILINE)
    print("\n".join(counts))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
