"""Plans for hawkBit and AWS IoT Jobs: what the engines would take, and do with it."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regex
from botocore.loaders import Loader
from botocore.model import ListShape
from botocore.model import ServiceModel
from botocore.model import Shape
from botocore.model import StructureShape
from botocore.validate import ParamValidator
from small_projects import run

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.rollout import aws_iot
from pytest_tinybudget.rollout import hawkbit
from pytest_tinybudget.rollout.decision import decide
from pytest_tinybudget.rollout.decision import halting_failures_alone
from pytest_tinybudget.rollout.policy import Policy


GROUP = "arn:aws:iot:eu-west-1:123456789012:thinggroup/kws"
POLICIES = [
    Policy(),
    Policy(stages=(1, 10, 50, 100)),
    Policy(stages=(100,)),
    Policy(stages=(0.001, 33.333333, 100), minimum_devices=7),
    Policy(test="exact", minimum_success_percent=99, alpha=1e-9),
    Policy(minimum_success_percent=98, good_failure_percent=0.1, bad_failure_percent=99.9),
]
FLEETS = [1, 2, 10, 99, 100, 1000, 123_457, 1_000_000]


# hawkBit


def hawkbit_rollout(policy: Policy, fleet: int) -> dict[str, Any]:
    return hawkbit.rollout(
        policy, fleet, name="kws-2", target_filter="name==kws-*", distribution_set=6
    )


#: The bodies of hawkBit's Management API: field, type. hawkBit ignores names that it does not know.
CONDITION = {"condition": str, "expression": str}
ACTION = {"action": str, "expression": str}
CONDITIONS = {
    "name": str, "description": str, "targetFilterQuery": str, "successCondition": CONDITION,
    "successAction": ACTION, "errorCondition": CONDITION, "errorAction": ACTION,
}  # fmt: skip
HAWKBIT_GROUP = {**CONDITIONS, "targetPercentage": float, "confirmationRequired": bool}
HAWKBIT_ROLLOUT = {
    **CONDITIONS, "distributionSetId": int, "amountGroups": int, "forcetime": int, "startAt": int,
    "weight": int, "dynamic": bool, "confirmationRequired": bool, "type": str,
    "groups": [HAWKBIT_GROUP],
}  # fmt: skip


def assert_known(body: Any, fields: Any) -> None:
    if isinstance(fields, dict):
        assert body.keys() <= fields.keys()
        for key, value in body.items():
            assert_known(value, fields[key])
    elif isinstance(fields, list):
        for element in body:
            assert_known(element, fields[0])
    else:
        assert type(body) is fields


def as_float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_hawkbit_knows_every_field(policy: Policy, fleet: int):
    body = hawkbit_rollout(policy, fleet)

    assert_known(body, HAWKBIT_ROLLOUT)
    assert body["distributionSetId"] == 6
    for group in body["groups"]:
        assert group["successCondition"]["condition"] == "THRESHOLD"
        assert group["errorCondition"]["condition"] == "THRESHOLD"
        assert group["successAction"]["action"] == "NEXTGROUP"
        assert group["errorAction"]["action"] == "PAUSE"


def test_hawkbit_percentages_are_of_the_remaining_devices():
    groups = hawkbit_rollout(Policy(stages=(1, 10, 50, 100)), 100)["groups"]

    assert [group["targetPercentage"] for group in groups] == [1, 9.0909, 44.4444, 100]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_hawkbit_makes_groups_of_the_stages_sizes(policy: Policy, fleet: int):
    # It multiplies in single precision and rounds to the nearest whole number of devices.
    remaining, made = fleet, []
    for group in hawkbit_rollout(policy, fleet)["groups"]:
        share = as_float32(as_float32(group["targetPercentage"]) / 100)
        remaining -= int(share * remaining + 0.5)
        made.append(fleet - remaining)

    assert made[-1] == fleet
    for ours, theirs in zip(policy.stage_devices(fleet), made, strict=True):
        assert abs(ours - theirs) <= (1 if fleet >= 500_000 else 0)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_hawkbit_thresholds_are_whole_percent(policy: Policy, fleet: int):
    for group in hawkbit_rollout(policy, fleet)["groups"]:
        for key in ("successCondition", "errorCondition"):
            expression = group[key]["expression"]
            assert expression == str(int(expression))
            assert 0 <= int(expression) <= 100


@pytest.mark.parametrize("success", [97.5, 99.9])
def test_a_success_rate_that_hawkbit_cannot_compare_with_is_refused(success: float):
    policy = Policy(
        minimum_success_percent=success, good_failure_percent=0.05, bad_failure_percent=10
    )

    with pytest.raises(TinybudgetError, match=f"minimum_success is {success} %: declare"):
        hawkbit_rollout(policy, 100)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", [10, 100, 1000, 50_000])
def test_hawkbit_pauses_nothing_that_the_test_would_not_halt(policy: Policy, fleet: int):
    before = 0
    for group, size in zip(
        hawkbit_rollout(policy, fleet)["groups"], policy.stage_devices(fleet), strict=True
    ):
        devices, before = size - before, size
        threshold = int(group["errorCondition"]["expression"])
        errors = devices * threshold // 100 + 1  # the fewest with errors / devices > threshold
        if errors <= devices:
            assert decide(policy, devices - errors, errors, devices).action == "halt"
            # In whole percent: at most one percent of the group later than by its own evidence.
            assert errors <= halting_failures_alone(policy, devices) + devices // 100 + 1


def test_hawkbit_names_that_cannot_be_are_refused():
    for name, target_filter in (("", "name==x"), ("n" * 129, "name==x"), ("kws", " ")):
        with pytest.raises(TinybudgetError, match="hawkBit: "):
            hawkbit.rollout(
                Policy(), 10, name=name, target_filter=target_filter, distribution_set=1
            )


# AWS IoT


@pytest.fixture(scope="module")
def create_job() -> StructureShape:
    model = ServiceModel(Loader().load_service_model("iot", "service-2", "2015-05-28"), "iot")
    shape = model.operation_model("CreateJob").input_shape
    assert isinstance(shape, StructureShape)
    return shape


def faults(shape: Shape, value: Any, at: str = "") -> Iterator[str]:
    """What of ``value`` is not as the service's own model says, all that the model knows."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            yield f"{at}: type"
            return
        yield from (f"{at}.{key}: required" for key in shape.required_members if key not in value)
        for key, member in value.items():
            if key in shape.members:
                yield from faults(shape.members[key], member, f"{at}.{key}")
            else:
                yield f"{at}.{key}: unknown"
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield f"{at}: type"
            return
        yield from _range_faults(shape, len(value), at)
        for element in value:
            yield from faults(shape.member, element, f"{at}[]")
    else:
        yield from _scalar_faults(shape, value, at)


def _scalar_faults(shape: Shape, value: Any, at: str) -> Iterator[str]:
    types = {"string": str, "integer": int, "long": int, "double": (int, float), "boolean": bool}
    if not isinstance(value, types[shape.type_name]) or (
        isinstance(value, bool) and shape.type_name != "boolean"
    ):
        yield f"{at}: type"
        return
    if shape.type_name != "string":
        yield from _range_faults(shape, value, at)
        return
    yield from _range_faults(shape, len(value), at)
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{at}: enum"
    pattern = shape.metadata.get("pattern")
    if pattern and not regex.fullmatch(pattern, value):
        yield f"{at}: pattern"


def _range_faults(shape: Shape, size: float, at: str) -> Iterator[str]:
    if size < shape.metadata.get("min", size):
        yield f"{at}: min"
    if size > shape.metadata.get("max", size):
        yield f"{at}: max"


def aws_jobs(policy: Policy, fleet: int, **options: Any) -> list[dict[str, Any]]:
    given = {"job_id": "kws-2", "group_arn": GROUP, "document": "{}", **options}
    return aws_iot.jobs(policy, fleet, **given)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", FLEETS)
def test_every_job_follows_the_service_model(
    create_job: StructureShape, policy: Policy, fleet: int
):
    jobs = aws_jobs(policy, fleet, per_minute=1000)

    assert len(jobs) == len(policy.stage_devices(fleet))
    for job in jobs:
        assert list(faults(create_job, job)) == []
        assert ParamValidator().validate(job, create_job).generate_report() == ""
        # Not in the model, but in its documentation: 1 to 10080 minutes, two digits.
        assert 1 <= job["timeoutConfig"]["inProgressTimeoutInMinutes"] <= 10080
        for criteria in job.get("abortConfig", {"criteriaList": []})["criteriaList"]:
            percent = criteria["thresholdPercentage"]
            assert round(percent, 2) == percent


#: A bad document each: where, what is put there, what is wrong, and whether botocore notices.
BAD = [
    ("jobId", None, "required", True),
    ("abortConfig.criteriaList.0.action", None, "required", True),
    ("targetSelektion", "SNAPSHOT", "unknown", True),
    ("timeoutConfig.inProgressTimeoutInMinutes", "1440", "type", True),
    ("targets", [], "min", True),
    ("abortConfig.criteriaList.0.minNumberOfExecutedThings", 0, "min", True),
    ("targetSelection", "SNAPSHOTS", "enum", False),
    ("abortConfig.criteriaList.0.failureType", "ANY", "enum", False),
    ("abortConfig.criteriaList.0.action", "PAUSE", "enum", False),
    ("abortConfig.criteriaList.0.thresholdPercentage", 100.5, "max", False),
    ("jobId", "kws 2", "pattern", False),
    ("description", "stage\n1", "pattern", False),
    ("jobId", "k" * 65, "max", False),
    ("document", " " * 32769, "max", False),
]


@pytest.mark.parametrize(("path", "value", "fault", "botocore_notices"), BAD)
def test_the_walk_finds_the_bad_documents_that_botocore_misses(
    create_job: StructureShape, path: str, value: Any, fault: str, botocore_notices: bool
):
    job = copy.deepcopy(aws_jobs(Policy(), 1000)[0])
    *parents, last = path.split(".")
    place: Any = job
    for part in parents:
        place = place[int(part) if part.isdecimal() else part]
    if value is None:
        del place[last]
    else:
        place[last] = value

    (found,) = faults(create_job, job)

    assert found.endswith(f".{last}: {fault}")
    assert ParamValidator().validate(job, create_job).has_errors() == botocore_notices


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("fleet", [1, 10, 100, 5000])
def test_aws_cancels_nothing_that_the_test_would_not_halt(policy: Policy, fleet: int):
    for job in aws_jobs(policy, fleet):
        if "abortConfig" not in job:
            continue
        (criteria,) = job["abortConfig"]["criteriaList"]
        least = criteria["minNumberOfExecutedThings"]
        for executed in {least, least + 1, 2 * least, 7 * least}:
            failed = -(-executed * round(100 * criteria["thresholdPercentage"]) // 10000)
            assert decide(policy, executed - failed, failed, executed).action == "halt"


def test_a_stage_too_small_for_evidence_has_no_abort_criteria():
    first, second, *_ = aws_jobs(Policy(stages=(1, 10, 50, 100)), 100)

    assert "abortConfig" not in first
    assert second["abortConfig"]["criteriaList"][0]["minNumberOfExecutedThings"] == 9


def test_each_stage_is_a_job_for_a_group_of_its_own():
    jobs = aws_jobs(Policy(), 1000)

    assert [job["jobId"] for job in jobs] == ["kws-2-stage-1", "kws-2-stage-2", "kws-2-stage-3"]
    assert [job["targets"] for job in jobs] == [[f"{GROUP}-stage-{number}"] for number in (1, 2, 3)]
    assert {job["targetSelection"] for job in jobs} == {"SNAPSHOT"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"job_id": "kws 2"}, "no job id"),
        ({"job_id": "k" * 60}, "at most 64"),
        ({"group_arn": "kws"}, "no thing group"),
        ({"group_arn": GROUP + "g" * 128}, "no thing group"),
        ({"document": "", "document_source": ""}, "expected a job document"),
        ({"document_source": "https://s3"}, "not both"),
        ({"document": " " * 32769}, "document has 32769 characters"),
        ({"document": "", "document_source": "s" * 1351}, "documentSource has 1351 characters"),
        ({"per_minute": 1001}, "1 to 1000 devices a minute"),
    ],
)
def test_what_aws_would_not_take_is_refused(options: dict[str, Any], words: str):
    with pytest.raises(TinybudgetError, match=words):
        aws_jobs(Policy(), 100, **options)


def test_a_window_longer_than_a_job_may_last_is_refused():
    with pytest.raises(TinybudgetError, match="7 days at most, window is 169 h"):
        aws_jobs(Policy(window_hours=169), 100)
    assert aws_jobs(Policy(window_hours=168), 100)


# The command


def test_the_command_writes_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create_job: StructureShape
):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("job.json").write_text('{"operation": "update"}', encoding="utf-8")
    command = f"rollout export aws-iot --devices 1000 --job-id kws-2 --group-arn {GROUP}"

    assert run(*command.split(), "--document", "job.json", "-o", "out/jobs.json") == 0

    jobs = json.loads(tmp_path.joinpath("out", "jobs.json").read_text("utf-8"))
    assert len(jobs) == 3
    for job in jobs:
        assert list(faults(create_job, job)) == []
        assert json.loads(job["document"]) == {"operation": "update"}


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "job.json: cannot be read"), (b"{", "in JSON"), (b"\xff", "in JSON")],
)
def test_a_job_document_that_is_none_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    words: str,
):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        tmp_path.joinpath("job.json").write_bytes(content)
    command = f"rollout export aws-iot --devices 9 --job-id kws --group-arn {GROUP}"

    assert run(*command.split(), "--document", "job.json") == 2

    assert words in capsys.readouterr().err
