"""The codes of failures and errors, with what each means and what to do about it.

``tinybudget explain CODE`` prints an entry, ``docs/errors.md`` holds all of them.
"""

from __future__ import annotations

from msgspec import Struct


class Code(Struct, frozen=True):
    """What a code stands for: ``title`` in a few words, ``meaning`` and ``advice`` in sentences."""

    title: str
    meaning: str
    advice: str


CODES: dict[str, Code] = {
    "TB001": Code(
        "flash is over its limit",
        "The model's file, together with the code and constants of TFLM that its operators need, "
        "is larger than the budget, or than what the board has left after bootloader, partitions "
        "and SDK.",
        "Read the parts, largest first. Register operators for their type (`registrations = "
        '"typed"`), remove the operator that costs most, use fewer weights, or agree on a larger '
        "budget. The failure lists what each would save.",
    ),
    "TB002": Code(
        "RAM is over its limit",
        "The smallest arena that works, with interpreter, resolver and stack, is larger than the "
        "budget, than the board's free RAM, or than the block of RAM that must hold the arena.",
        "Look at the arena's peak: the tensors in memory there decide. Smaller inputs or fewer "
        "channels at that layer lower it; fewer weights do not. `tinybudget inspect --svg` draws "
        "the arena.",
    ),
    "TB003": Code(
        "another declared limit is exceeded",
        "Latency, energy, the bytes of an update, a slot or another declared limit is exceeded. "
        "Of a range, the worse end counts.",
        "The line below `besides flash and RAM` shows the value and how it was computed.",
    ),
    "TB004": Code(
        "external RAM is over its limit",
        "What the declaration puts into external RAM (`placement`, `placement_model`) is larger "
        "than the budget `psram`, or than the external RAM of the board.",
        "Read the parts. An arena or a model that fits into RAM on the chip can be placed there. "
        "If the board has more external RAM, declare it with `psram` of a board of your own.",
    ),
    "TB005": Code(
        "the arena is over its budget",
        "The smallest tensor arena that works, or a part of a split one, is larger than the "
        "budget `arena` (`persistent_arena`, `non_persistent_arena`): the array in the firmware "
        "is too small.",
        "Look at the arena's peak: the tensors in memory there decide. If the board has room, "
        "raise the size in the firmware and here.",
    ),
    "TB010": Code(
        "TFLM would refuse the model",
        "TensorFlow Lite Micro, at the named commit, does not support an operator, a type or a "
        "shape of the model. The device would fail while it loads, prepares or runs the model, "
        "however much memory it has.",
        "The headline names the operator and the step. Replace the layer, convert to full INT8, "
        "or declare the cost of your own kernel in `[runtime.ops.NAME]`.",
    ),
    "TB011": Code(
        "TFLM would run the model wrongly",
        "A shape, type, buffer or quantization does not fit what a kernel of TFLM reads, and TFLM"
        " does not check it; or no result is defined for it. The device would show no error, and "
        "compute wrong results or overwrite memory.",
        "The headline names operator and tensor. Convert the model again: with a fixed input "
        "shape, without sparsity, with its data in the file.",
    ),
    "TB012": Code(
        "this version of TFLM computes the model wrongly",
        "The firmware's version of TFLM, or of its kernel library (CMSIS-NN, esp-nn), has a fault"
        " that a later version fixed. The device would load and run the model, show no error, and"
        " compute other results than TensorFlow Lite. `(by history, not measured)` means that the"
        " fault was found in the sources and not observed.",
        "The headline names the operator, what it does wrongly, and the commit or release that "
        "fixed it. Flash a release that has the fix, or convert the model so that it does not "
        "need it: `per_channel_dense = false` for dense layers of a Keras model or SavedModel.",
    ),
    "TB020": Code(
        "fits, but misses a requirement",
        "The pair is within its limits, but does not meet `strict`, `require_int8` or "
        "`--tinybudget-verify`.",
        "The headline says which one. Meet the requirement, or remove it.",
    ),
    "TB021": Code(
        "grew more than allowed",
        "Flash, RAM or another budgeted size grew over the baseline by more than `max_increase`.",
        "Look at what changed (`tinybudget diff`). Agree on the increase until a date with "
        "`[[models.NAME.accept]]`, or renew the baseline.",
    ),
    "TB022": Code(
        "too low, or unknown where a limit is declared",
        "Accuracy or agreement is below its minimum, or a figure with a limit is not known for "
        "this board. An unknown figure never passes.",
        "Train further, or lower the minimum. For an unknown figure, remove the limit, or declare"
        " what is missing.",
    ),
    "TB023": Code(
        "growth has a limit and was not checked",
        "`max_increase` is declared and `require_base` or `--require-base` is set, but there was "
        "nothing to compare with.",
        "The headline says why there is no base. Compare with a commit (`--base auto`, under "
        "pytest `--tinybudget-base=auto`; a shallow clone needs `fetch-depth: 2`, or 0), or write"
        " the baseline file again. In a change that repairs the base, leave out `--require-base`.",
    ),
    "TB024": Code(
        "drifted more than allowed",
        "Since a tag or release, flash, RAM or another budgeted size grew by more than "
        "`max_increase` with `since` allows, in however many changes.",
        "Look at what changed since then (`tinybudget diff --base TAG`). Agree on it until a date"
        " with `[[models.NAME.accept]]`, or name a later release.",
    ),
    "TB100": Code(
        "wrong usage or input",
        "An argument, option or file is not what was expected. The line says what and where.",
        "Correct it as the line says; `tinybudget COMMAND --help` has an example.",
    ),
    "TB101": Code(
        "unknown name",
        "There is no board, runtime, model, operator or key of this name, or the name is that of "
        "a chip or family that several boards have.",
        "The line has the nearest names; `tinybudget boards TEXT` searches.",
    ),
    "TB102": Code(
        "cannot be written",
        "The disk has no space, there is no permission, or the name leads out of the folder. "
        "Nothing was left half-written.",
        "Free some space, or choose another folder.",
    ),
    "TB103": Code(
        "a package is missing",
        "The command needs a package that is not installed.",
        "Run the `pip install` command in the line. `tinybudget doctor` lists all extras.",
    ),
    "TB200": Code(
        "the declaration is wrong",
        "A `tinybudget.toml`, or a plan of `fit`, has keys or values that are not valid. All "
        "mistakes are reported at once, each with its line and an example.",
        "Correct the lines. With the schema of `tinybudget schema`, an editor marks mistakes as "
        "you type.",
    ),
    "TB300": Code(
        "the model cannot be read",
        "The file is empty, cut off, not a TensorFlow Lite file, a Git LFS pointer, or "
        "contradicts itself.",
        "Run `git lfs pull`, or write the file again. If TFLM loads the file, this is a bug here:"
        " report it.",
    ),
    "TB310": Code(
        "the shrunken model gives other outputs",
        "A model that was made smaller (`shrink`) gave another output than the original file, or "
        "did not run, in an interpreter on this machine. Nothing was written.",
        "This is a bug here: report it, with the model if you can. `shrink = false` measures the "
        "original file; `without` leaves out single steps.",
    ),
    "TB400": Code(
        "the model could not be converted",
        "The source is damaged, its data do not fit its inputs, or the converter crashed, ran out"
        " of time or memory, or left operators in float.",
        "The line names the step. `log:` names the file with everything that the converter "
        "printed. `conversion_timeout` and `conversion_memory` raise the limits.",
    ),
    "TB500": Code(
        "not a results file",
        "A baseline, shard or results file is damaged, of another version, or made with other "
        "tables.",
        "Write it again with this version: `pytest --tinybudget --tinybudget-json=PATH`.",
    ),
    "TB600": Code(
        "Git does not have the commit",
        "The commit to compare with does not exist here, or this is not a repository.",
        "Fetch it (`fetch-depth: 0` of actions/checkout), or name another commit with `--base`.",
    ),
}
