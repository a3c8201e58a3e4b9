"""Makes the declaration of a typed document: looks up names, applies defaults, finds files."""

from __future__ import annotations

import glob
from collections import ChainMap
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import MutableMapping
from pathlib import Path
from pathlib import PurePath
from typing import TYPE_CHECKING
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.base.text import is_valid_name
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.catalog import with_others
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import exists
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.context import is_model
from pytest_tinybudget.declaration.context import separator_hint
from pytest_tinybudget.declaration.conversions import check_effect
from pytest_tinybudget.declaration.conversions import conversion
from pytest_tinybudget.declaration.conversions import onnx_command
from pytest_tinybudget.declaration.conversions import suited
from pytest_tinybudget.declaration.declared import Budget
from pytest_tinybudget.declaration.declared import CheckKind
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.declared import MaxIncrease
from pytest_tinybudget.declaration.own_boards import Boards
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.project_files import PROJECT
from pytest_tinybudget.declaration.project_files import ProjectFiles
from pytest_tinybudget.declaration.runtimes import check_suitable
from pytest_tinybudget.declaration.runtimes import operator_cost
from pytest_tinybudget.declaration.runtimes import runtime_reference
from pytest_tinybudget.declaration.runtimes import runtimes_of
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.declaration.shrunken import request_of
from pytest_tinybudget.declaration.shrunken import with_boards
from pytest_tinybudget.declaration.written import folder_of
from pytest_tinybudget.declaration.written import golden_request
from pytest_tinybudget.declaration.written import kinds_of
from pytest_tinybudget.declaration.written import name_of
from pytest_tinybudget.results.metrics import ARENA_METRICS
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.placement import ArenaPlacement
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.held_out import Accuracy
    from pytest_tinybudget.declaration.held_out import Agreement
    from pytest_tinybudget.declaration.schema.conversion import ShrinkTable
    from pytest_tinybudget.declaration.schema.document import DefaultsTable
    from pytest_tinybudget.declaration.schema.document import Document
    from pytest_tinybudget.declaration.schema.document import ModelTable
    from pytest_tinybudget.declaration.schema.firmware import SplitPlacementTable
    from pytest_tinybudget.declaration.schema.groups import GroupTable
    from pytest_tinybudget.declaration.schema.growth import AcceptTable
    from pytest_tinybudget.declaration.schema.growth import MaxIncreaseTable
    from pytest_tinybudget.declaration.schema.rollout import RolloutTable
    from pytest_tinybudget.declaration.schema.updates import UpdateTable
    from pytest_tinybudget.planning.network import LayerList
    from pytest_tinybudget.rollout.policy import RolloutSettings
    from pytest_tinybudget.update.settings import UpdateSettings
    from pytest_tinybudget.update.slots import Slots


#: Each multiplies what is searched, links to folders as well.
_MOST_WILD_FOLDERS = 3
_WILDCARDS = frozenset("*?[")
#: Sections of one declaration, and defaults that name its files: they are not handed down.
_OWN_SECTIONS = {
    "models": ("models",),
    "groups": ("groups",),
    "runtime": ("runtime",),
    "operators": ("runtime", "ops"),
    "convert": ("convert",),
    "update": ("update",),
    "rollout": ("rollout",),
}
_OWN_DEFAULTS = ("baseline", "representative_data", "custom_objects")


def resolved(
    document: Document,
    path: Path,
    problems: Problems,
    catalog: Mapping[str, Board],
    inherited: Inherited,
) -> Declaration:
    """The declaration of ``document``. What cannot be resolved is noted in ``problems``."""
    context = Context(path, problems)
    files = ProjectFiles(path.parent)
    own = {**inherited.runtimes, **runtimes_of(context, document.runtime)}
    runtimes = _runtimes(own, files)
    boards = _boards(context, document, catalog, inherited, runtimes)
    operators = {
        name: operator_cost(context, name, table) for name, table in document.operators.items()
    }
    models = _Models(context, document, boards, runtimes, inherited.settings, operators)
    groups = models.resolve()
    by_name, groups = with_boards(models.by_name, groups, runtimes)
    baseline = document.defaults.baseline
    return Declaration(
        path=path,
        models=by_name,
        groups=groups,
        boards={**inherited.boards, **boards.own},
        slots=boards.slots,
        update=_update_settings(context, document.update),
        rollout=_rollout_settings(context, document.rollout),
        checks=() if document.rollout is None else ("rollout",),
        runtimes=runtimes,
        operators=operators,
        artifacts=folder_of(document.defaults.artifacts, path.parent),
        baseline=None if baseline is None else path.parent / baseline,
        lines=problems.lines or {},
        files=files,
    )


def handed_down(
    document: Document,
    path: Path,
    problems: Problems,
    catalog: Mapping[str, Board],
    inherited: Inherited,
) -> Inherited:
    """What files that extend ``document`` inherit: its boards and its defaults.

    They do not inherit models, nor files that defaults name: it would not be clear whether these
    are relative to this file or to the one that extends it.
    """
    context = Context(path, problems)
    for section, keys in _OWN_SECTIONS.items():
        if getattr(document, section):
            text = "does not belong in a file that is extended: only [defaults] and [boards] do"
            problems.add(keys, text)
    named = [key for key in _OWN_DEFAULTS if getattr(document.defaults, key) is not None]
    if folder_of(document.defaults.artifacts, path.parent) is not None:
        named.insert(0, "artifacts")
    for key in named:
        text = "names what each declaration has of its own: say it there"
        problems.add(("defaults", key), text)
    runtimes = _runtimes(inherited.runtimes, ProjectFiles(path.parent))
    boards = _boards(context, document, catalog, inherited, runtimes)
    models = _Models(context, document, boards, runtimes, inherited.settings)
    defaults = models.defaults()
    if document.defaults.runtime != PROJECT:  # whose files these are, who extends this one knows
        models.check_runtime(document.defaults, defaults, ("defaults",))
    own = {name: each for name, each in runtimes.maps[0].items() if name != PROJECT}
    every = {**inherited.boards, **boards.own}
    return Inherited(defaults, every, boards.slots, own, boards.sdk)


def _runtimes(
    own: Mapping[str, DeclaredRuntime], files: ProjectFiles
) -> ChainMap[str, DeclaredRuntime]:
    """The runtimes that are declared, to which boards add theirs, and those that are shipped."""
    project = DeclaredRuntime(PROJECT, None, files=files)
    # Only the first is written to, which ChainMap's annotations do not foresee.
    return ChainMap({**own, PROJECT: project}, shipped_runtimes())  # type: ignore[arg-type]


def _boards(
    context: Context,
    document: Document,
    catalog: Mapping[str, Board],
    inherited: Inherited,
    runtimes: MutableMapping[str, DeclaredRuntime],
) -> Boards:
    sdk = document.defaults.sdk
    if sdk is not None:
        from pytest_tinybudget.declaration.sdks import is_known

        sdk = sdk if is_known(context, sdk, ("defaults", "sdk")) else None
    boards = Boards(
        context=context,
        tables=document.boards,
        catalog=with_others(catalog, inherited.boards),
        runtimes=runtimes,
        inherited=inherited.boards,
        slots=dict(inherited.slots),
        sdk=first(sdk, inherited.sdk),
    )
    boards.resolve()
    return boards


class _Settings(msgspec.Struct, frozen=True):
    """Settings of models and groups: of the section, else of ``[defaults]``, else built in.

    Without a declared percentage a nearly full board is no warning.
    """

    boards: tuple[Board, ...] | None = None
    budget: Budget = msgspec.field(default_factory=Budget)
    warn_at_percent: float = 100.0
    message: str = ""
    require_int8: bool | Literal["warn"] = "warn"
    strict: bool = False
    registrations: Literal["generic", "typed"] = "generic"
    runtime: DeclaredRuntime | None = None
    stack: int | None = None
    placements: Placements = msgspec.field(default_factory=Placements)
    max_increase: MaxIncrease = msgspec.field(default_factory=MaxIncrease)
    drift: tuple[MaxIncrease, ...] = ()
    require_base: bool = False
    informational: bool = False
    approve_labels: tuple[str, ...] = ()
    conversion: Conversion | None = None
    shrink: bool | ShrinkTable = False
    artifact_kinds: tuple[Literal["c", "tflite", "golden"], ...] = ("c",)


class Inherited(msgspec.Struct, frozen=True):
    """What a declaration inherits from the file that it extends; empty where it extends none.

    ``boards`` and ``slots`` by board id; ``runtimes`` of its boards by name, without the shipped.
    ``sdk`` is for boards of the catalog: those of the file are made already.
    """

    settings: _Settings = msgspec.field(default_factory=_Settings)
    boards: Mapping[str, Board] = msgspec.field(default_factory=dict)
    slots: Mapping[str, Slots] = msgspec.field(default_factory=dict)
    runtimes: Mapping[str, DeclaredRuntime] = msgspec.field(default_factory=dict)
    sdk: str = ""


class _Models(msgspec.Struct, eq=False):
    """Resolves models and groups. ``built_in`` has the settings that no defaults change."""

    context: Context
    document: Document
    boards: Boards
    runtimes: Mapping[str, DeclaredRuntime]
    built_in: _Settings
    operators: dict[str, OperatorCost] = msgspec.field(default_factory=dict)
    by_name: dict[str, DeclaredModel] = msgspec.field(default_factory=dict)
    identifiers: dict[str, DeclaredModel] = msgspec.field(default_factory=dict)

    def resolve(self) -> dict[str, DeclaredGroup]:
        """Fill ``by_name`` with the models; returns the groups."""
        defaults = self.defaults()
        for section, table in self.document.models.items():
            self.add_section(section, table, defaults)
        if not (self.document.models or self.context.problems.found):
            example = '[models.kws] with source = "models/kws.tflite"'
            self.context.problems.add((), "declares no model", example=example)
        return {
            name: self.group(name, table, defaults) for name, table in self.document.groups.items()
        }

    def defaults(self) -> _Settings:
        """The settings of ``[defaults]``; missing ones are inherited or built in."""
        built_in, root = self.built_in, self.context.path.parent
        if built_in.conversion is not None:
            built_in = replace(built_in, conversion=replace(built_in.conversion, root=root))
        if built_in.runtime is not None and built_in.runtime.files is not None:
            built_in = replace(built_in, runtime=self.runtimes[PROJECT])  # this one's files
        settings = self.settings(self.document.defaults, built_in, ("defaults",))
        assert settings.conversion is not None
        command = onnx_command(self.document.convert)
        return replace(settings, conversion=replace(settings.conversion, onnx_command=command))

    def settings(
        self, table: DefaultsTable | ModelTable, otherwise: _Settings, keys: KeyPath
    ) -> _Settings:
        """The settings of ``table``; missing ones are taken from ``otherwise``."""
        stack = self.context.size(table.stack, *keys, "stack")
        runtime = runtime_reference(self.context, self.runtimes, table.runtime, (*keys, "runtime"))
        boards = self.boards.boards_of(table.boards, (*keys, "boards"))
        limit, drift = self.limits_of_growth(table, (otherwise.max_increase, otherwise.drift), keys)
        return _Settings(
            boards=first(boards, otherwise.boards),
            budget=self.budget(table, otherwise.budget, keys),
            warn_at_percent=_percent(table.warn_at, otherwise.warn_at_percent),
            message=first(table.message, otherwise.message),
            require_int8=first(table.require_int8, otherwise.require_int8),
            strict=first(table.strict, otherwise.strict),
            registrations=first(table.registrations, otherwise.registrations),
            runtime=first(runtime, otherwise.runtime),
            stack=first(stack, otherwise.stack),
            placements=self.placements(table, otherwise.placements, keys),
            max_increase=limit,
            drift=drift,
            require_base=first(table.require_base, otherwise.require_base),
            informational=first(table.informational, otherwise.informational),
            approve_labels=_labels(table.approve_labels, otherwise.approve_labels),
            conversion=conversion(
                self.context, table, otherwise.conversion or self.as_built_in(), keys
            ),
            shrink=first(table.shrink, otherwise.shrink),
            artifact_kinds=first(kinds_of(table.artifacts), otherwise.artifact_kinds),
        )

    def check_runtime(
        self, table: DefaultsTable | ModelTable, settings: _Settings, keys: KeyPath
    ) -> None:
        """Check that the runtime of ``settings`` runs on its boards; a problem is at its key."""
        if table.runtime is not None:
            keys = (*keys, "runtime")
        else:
            of_this_file = self.document.defaults.runtime is not None
            keys = ("defaults", "runtime") if of_this_file else ("extends",)
        for board in settings.boards or ():
            check_suitable(self.context, self.runtimes, settings.runtime, board, keys)

    def budget(
        self, table: DefaultsTable | ModelTable | GroupTable, otherwise: Budget, keys: KeyPath
    ) -> Budget:
        """The declared limits; missing ones are taken from ``otherwise``."""
        if table.budget is None:
            return otherwise
        sizes = {
            key: self.context.size(getattr(table.budget, key), *keys, "budget", key)
            for key in (*METRICS, "update")
        }
        latency = self.context.quantity(table.budget.latency, "s", *keys, "budget", "latency")
        energy = self.context.quantity(table.budget.energy, "J", *keys, "budget", "energy")
        return Budget(
            latency=first(latency, otherwise.latency),
            energy=first(energy, otherwise.energy),
            **{key: first(size, getattr(otherwise, key)) for key, size in sizes.items()},
        )

    def placements(
        self, table: DefaultsTable | ModelTable, otherwise: Placements, keys: KeyPath
    ) -> Placements:
        """Where ``table`` says that arena and model lie, and what it leaves out."""
        found = Placements(
            _arena_placement(table.placement, otherwise.arena),
            first(table.placement_model, otherwise.model),
            first(table.storage_model, otherwise.model_storage),
        )
        if table.storage_model == "external" and found.model == "flash":
            text = "is for a model that lies in RAM: one in flash is part of the firmware"
            self.context.problems.add(
                (*keys, "storage_model"), text, example='placement_model = "ram"'
            )
        return found

    def check_arena_budget(self, budget: Budget, arena: ArenaPlacement, keys: KeyPath) -> None:
        """A problem where a limit is for one arena and there are two, or the other way round."""
        is_split = isinstance(arena, SplitPlacement)
        for metric in ARENA_METRICS:
            if getattr(budget, metric) is None or (metric == "arena") != is_split:
                continue
            if is_split:
                text = "the arena is split: each part has a limit of its own"
                example = 'budget = { persistent_arena = "16 KB", non_persistent_arena = "200 KB" }'
            else:
                text = "the arena is not split: it has one limit"
                example = 'budget = { arena = "48 KB" }'
            self.context.problems.add((*keys, "budget", metric), text, example=example)

    def as_built_in(self) -> Conversion:
        """The conversion where nothing is declared."""
        return Conversion(self.context.path.parent)

    def limits_of_growth(
        self,
        table: DefaultsTable | ModelTable | GroupTable,
        otherwise: tuple[MaxIncrease, tuple[MaxIncrease, ...]],
        keys: KeyPath,
    ) -> tuple[MaxIncrease, tuple[MaxIncrease, ...]]:
        """The limit over the baseline, and those since a commit.

        All are those of ``table``, or where it has none all from ``otherwise``.
        """
        declared = table.max_increase
        if declared is None:
            return otherwise
        keys = (*keys, "max_increase")
        tables = declared if isinstance(declared, list) else [declared]
        places = [(*keys, str(index)) for index in range(len(tables))]
        if not isinstance(declared, list):
            places = [keys]
        found: dict[str, MaxIncrease] = {}
        for place, each in zip(places, tables, strict=True):
            limit = self.limit_of_growth(each, place)
            if limit.since in found:
                over = f"since {limit.since!r}" if limit.since else "over the baseline"
                self.context.problems.add(place, f"a second limit {over}: one is enough")
            found[limit.since] = limit
        return found.pop("", MaxIncrease()), tuple(found.values())

    def limit_of_growth(self, table: MaxIncreaseTable, keys: KeyPath) -> MaxIncrease:
        """One limit of growth, which must say how much."""
        if table.percent is None and table.bytes is None:
            example = 'max_increase = { percent = 2, bytes = "1 KB" }'
            if not self.context.problems.concerns(*keys):
                self.context.problems.add(keys, "expected percent or bytes", example=example)
        size = self.context.size(table.bytes, *keys, "bytes")
        return MaxIncrease(table.percent, size, (table.since or "").strip())

    def check_require_base(
        self, table: ModelTable | GroupTable, *limits: MaxIncrease, keys: KeyPath
    ) -> None:
        """Check that a section which requires a base also limits growth."""
        keys = (*keys, "require_base")
        given = any(limit.given for limit in limits)
        if table.require_base and not given and not self.context.problems.concerns(*keys[:2]):
            text = "has no effect without 'max_increase', here or in [defaults]"
            self.context.problems.add(keys, text, example="max_increase = { percent = 2 }")

    def accepts(self, tables: list[AcceptTable] | None, keys: KeyPath) -> tuple[Acceptance, ...]:
        """The agreed increases of a section."""
        found = []
        for index, table in enumerate(tables or []):
            up_to = self.context.size(table.up_to, *keys, "accept", str(index), "up_to")
            found.append(Acceptance(table.metric, up_to or 0, table.reason, table.until))
        return tuple(found)

    def add_section(self, section: str, table: ModelTable, defaults: _Settings) -> None:
        """Add the model of ``[models.SECTION]``, or with a glob one for each file."""
        keys = ("models", section)
        settings = self.settings(table, defaults, keys)
        self.check_require_base(table, settings.max_increase, *settings.drift, keys=keys)
        problems = self.context.problems
        places = ((*keys, "boards"), ("defaults", "boards"), ("extends",))
        known = any(problems.concerns(*place) for place in places)
        if settings.boards is None and not known:
            text = "'boards' is missing, here and in [defaults]"
            problems.add(keys, text, example='boards = ["arduino-nano-33-ble"]')
        self.check_runtime(table, settings, keys)
        self.check_arena_budget(settings.budget, settings.placements.arena, keys)
        accepts = self.accepts(table.accept, keys)
        planned = self.planned(table, keys)
        quality, shadow = self.evaluations(table, keys)
        deployed = self.deployed(table, keys)
        asked: dict[CheckKind, object] = {"accuracy": quality, "agreement": shadow}
        found = list(self.sources(section, table))
        if settings.conversion is not None:
            files = [None if table.layers is not None else source for _, source in found]
            check_effect(self.context, table, settings.conversion, files, keys)
        golden = golden_request(self.context, table.golden, settings.artifact_kinds, keys)
        own = settings.conversion or self.as_built_in()
        own = suited(own, settings.boards or (), settings.runtime, self.runtimes)
        if planned is not None:
            numbers = table.activations or own.activations
            planned = replace(planned, per_channel_dense=own.scales_per_channel, numbers=numbers)
        for name, source in found:
            model = DeclaredModel(
                name=name,
                section=section,
                source=source,
                declared_source=self.context.relative(source),
                boards=settings.boards or (),
                budget=settings.budget,
                warn_at_percent=settings.warn_at_percent,
                message=settings.message,
                require_int8=settings.require_int8,
                strict=settings.strict,
                registrations=settings.registrations,
                runtime=settings.runtime,
                stack=settings.stack,
                placements=settings.placements,
                artifact_name=name_of(table.artifacts) or name,
                max_increase=settings.max_increase,
                drift=settings.drift,
                require_base=settings.require_base,
                informational=settings.informational,
                approve_labels=settings.approve_labels,
                accepts=accepts,
                conversion=own,
                planned=planned,
                checks=tuple(kind for kind, demand in asked.items() if demand is not None),
                deployed=deployed,
                accuracy=quality,
                agreement=shadow,
                operators=self.operators,
                shrink=request_of(settings.shrink),
                artifact_kinds=settings.artifact_kinds,
                golden=golden,
            )
            other = self.by_name.setdefault(name, model)
            if other is not model:
                text = (
                    f"a second model called {name!r}: {model.declared_source}, beside "
                    f"{other.declared_source} of [models.{other.section}]"
                )
                self.context.problems.add((*keys, "source"), text)
            else:
                self.check_artifacts(model)

    def planned(self, table: ModelTable, keys: KeyPath) -> LayerList | None:
        """The layer list that takes the place of a file."""
        if table.layers is None and table.input_shape is None:
            return None
        from pytest_tinybudget.declaration.planned import layer_list

        return layer_list(self.context, table, keys)

    def evaluations(
        self, table: ModelTable, keys: KeyPath
    ) -> tuple[Accuracy | None, Agreement | None]:
        """The demands on the model's outputs."""
        if table.accuracy is None and table.agreement is None:
            return None, None
        from pytest_tinybudget.declaration.evaluations import accuracy
        from pytest_tinybudget.declaration.evaluations import agreement

        return accuracy(self.context, table, keys), agreement(self.context, table, keys)

    def deployed(self, table: ModelTable, keys: KeyPath) -> Path | None:
        """The model's file that devices have now."""
        if table.deployed is None:
            return None
        return self.context.file(table.deployed, (*keys, "deployed"), "models/kws_v1.tflite")

    def check_artifacts(self, model: DeclaredModel) -> None:
        """Check that no two models write the same files, or the same names into one firmware."""
        identifier = c_identifier(model.artifact_name).casefold()
        other = self.identifiers.setdefault(identifier, model)
        if other is not model:
            text = (
                f"models {other.name!r} and {model.name!r} would both be called "
                f"{identifier!r} in C: give one another name with 'artifacts'"
            )
            self.context.problems.add(("models", model.section), text)

    def sources(self, section: str, table: ModelTable) -> Iterator[tuple[str, Path]]:
        """Name and file of each model of a section."""
        keys = ("models", section, "source")
        if table.layers is not None or self.context.problems.concerns("models", section, "layers"):
            yield section, self.context.path
            return
        if table.source is None:
            if not self.context.problems.concerns(*keys):
                example = 'source = "models/kws.tflite"'
                self.context.problems.add(keys[:2], "'source' is missing", example=example)
            return
        source = self.context.path.parent / table.source
        if _WILDCARDS.isdisjoint(table.source) or exists(source):
            yield section, self.context.file(table.source, keys)
            return
        if name_of(table.artifacts) is not None:
            text = "is one name for many models: a glob's files are named after their stems"
            self.context.problems.add((*keys[:2], "artifacts"), text)
        too_wide = _too_wide(table.source)
        files = [] if too_wide else [file for file in self.matches(table.source) if is_model(file)]
        if too_wide:
            example = 'source = "models/**/*.tflite"'
            self.context.problems.add(keys, too_wide, example=example)
        elif not files:
            example = 'source = "models/*.tflite"'
            text = f"no file matches {table.source!r}{separator_hint(table.source)}"
            self.context.problems.add(keys, text, example=example)
        for file in files:
            if not is_valid_name(file.stem):
                text = (
                    f"{self.context.relative(file)} cannot name a model: expected letters, digits, "
                    "'.', '_' and '-'; rename it or give it a section of its own"
                )
                self.context.problems.add(keys, text)
            else:
                yield file.stem, file

    def matches(self, pattern: str) -> list[Path]:
        folder = self.context.path.parent
        if "**" in PurePath(pattern).parts:
            # Unlike the function, the method follows no links to folders, which may go in circles.
            try:
                found = list(folder.glob(pattern))
            except OSError:  # no system has a file of such a name
                return []
            return sorted(each for each in found if not _is_hidden(each.relative_to(folder)))
        # Path.glob takes neither absolute patterns nor "..".
        names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
        return sorted(folder / name for name in names)

    def group(self, name: str, table: GroupTable, defaults: _Settings) -> DeclaredGroup:
        """The group of ``[groups.NAME]``. The defaults' budget is for models, not for groups."""
        keys, problems = ("groups", name), self.context.problems
        if f"groups.{name}" in self.by_name:
            text = f"a model is called 'groups.{name}', which would name the same test"
            problems.add(keys, text)
        if table.models is None and not problems.concerns(*keys, "models"):
            problems.add(keys, "'models' is missing", example='models = ["kws", "vad"]')
        if table.budget is not None and table.budget.update is not None:
            text = "is a budget of models: a group is not sent"
            problems.add((*keys, "budget", "update"), text, example='budget = { flash = "400 KB" }')
        models = self.models_of(table.models or [], (*keys, "models"))
        boards = self.boards.boards_of(table.boards, (*keys, "boards"))
        if boards is None:
            boards = _shared_boards(models)
            if not boards and models and all(model.boards for model in models):
                text = "its models share no board: give the group 'boards'"
                problems.add(keys, text, example='boards = ["arduino-nano-33-ble"]')
        for key in ("latency", "energy"):
            if getattr(table.budget, key, None) is not None:
                text = "is one model's budget: its models run one after the other"
                problems.add((*keys, "budget", key), text)
        limit, drift = self.limits_of_growth(table, (defaults.max_increase, defaults.drift), keys)
        self.check_require_base(table, limit, *drift, keys=keys)
        placement = _arena_placement(table.placement, defaults.placements.arena)
        budget = self.budget(table, Budget(), keys)
        self.check_arena_budget(budget, placement, keys)
        return DeclaredGroup(
            name=name,
            models=models,
            boards=boards,
            arena=table.arena,
            placement=placement,
            budget=budget,
            warn_at_percent=_percent(table.warn_at, defaults.warn_at_percent),
            message=first(table.message, defaults.message),
            max_increase=limit,
            drift=drift,
            require_base=first(table.require_base, defaults.require_base),
            informational=first(table.informational, defaults.informational),
            approve_labels=_labels(table.approve_labels, defaults.approve_labels),
            accepts=self.accepts(table.accept, keys),
        )

    def models_of(self, names: list[str], keys: KeyPath) -> tuple[DeclaredModel, ...]:
        """The models of a group's list. The name of a section with a glob means all its models."""
        found: dict[str, DeclaredModel] = {}
        for here, name in self.context.elements(names, keys):
            if name in self.by_name:
                chosen = [self.by_name[name]]
            else:
                chosen = [model for model in self.by_name.values() if model.section == name]
            if not chosen and name not in self.document.models:
                valid = {**self.by_name, **self.document.models}
                self.context.look_up("model", name, valid, here)
            for model in chosen:
                if model.name in found:
                    self.context.problems.add(here, f"model {model.name!r} is listed twice")
                found[model.name] = model
        return tuple(found.values())


def _arena_placement(
    declared: Placement | SplitPlacementTable | None, otherwise: ArenaPlacement
) -> ArenaPlacement:
    if isinstance(declared, Struct):
        return SplitPlacement(declared.persistent, declared.non_persistent)
    return first(declared, otherwise)


def _update_settings(context: Context, table: UpdateTable | None) -> UpdateSettings | None:
    if table is None:
        return None
    from pytest_tinybudget.declaration.updates import update_settings

    return update_settings(context, table)


def _rollout_settings(context: Context, table: RolloutTable | None) -> RolloutSettings | None:
    if table is None:
        return None
    from pytest_tinybudget.declaration.rollouts import rollout_settings

    return rollout_settings(context, table)


def _labels(declared: list[str] | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    return otherwise if declared is None else tuple(declared)


def _percent(declared: str | None, otherwise: float) -> float:
    return otherwise if declared is None else float(declared.strip().rstrip("%"))


def _shared_boards(models: tuple[DeclaredModel, ...]) -> tuple[Board, ...]:
    """The boards that all models have, in the first one's order."""
    if not models:
        return ()
    others = [{board.id for board in model.boards} for model in models[1:]]
    return tuple(
        board for board in models[0].boards if all(board.id in boards for boards in others)
    )


def _too_wide(pattern: str) -> str:
    """Why a glob would search too many folders, or circles of links; empty where it does not."""
    parts = PurePath(pattern).parts
    wild = [part for part in parts[:-1] if not _WILDCARDS.isdisjoint(part)]
    if len(wild) > _MOST_WILD_FOLDERS:
        return f"more than {_MOST_WILD_FOLDERS} folders of a glob have wildcards"
    if "**" not in parts:
        return ""
    if parts.count("**") > 1 or ".." in parts or PurePath(pattern).is_absolute():
        return "'**' may stand once, and searches below this file: no absolute path, no '..'"
    return ""


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
