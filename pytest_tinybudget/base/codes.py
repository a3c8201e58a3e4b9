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
        "The model's file with the code and constants of TFLM that its operators pull in is larger "
        "than the budget, or than what the board has left after bootloader, partitions and SDK.",
        "Read the parts, largest first. Register operators for their type "
        '(`registrations = "typed"`), drop the operator that costs most, use fewer weights, or '
        "agree on a larger budget; the failure lists what each would save.",
    ),
    "TB002": Code(
        "RAM is over its limit",
        "The smallest arena that works, with interpreter, resolver and stack, is larger than the "
        "budget, than the board's free RAM, or than the one block that the arena must lie in.",
        "Look at the arena's peak: the tensors alive there decide. Smaller inputs or fewer "
        "channels at that layer lower it, weights do not. `tinybudget inspect --svg` draws it.",
    ),
    "TB003": Code(
        "another declared limit is exceeded",
        "Latency, energy, an update's bytes, a slot or the like is beyond what is declared; of a "
        "range the worse end counts.",
        "The line `besides flash and RAM` says the value and what it rests on.",
    ),
    "TB004": Code(
        "external RAM is over its limit",
        "What the declaration puts into external RAM (`placement`, `placement_model`) is larger "
        "than the budget `psram`, or than the external RAM of the board.",
        "Read the parts. An arena or a model that fits RAM on the chip can go there; `psram` of a "
        "board of your own states what it really has.",
    ),
    "TB005": Code(
        "the arena is over its budget",
        "The smallest tensor arena that works, or a part of a split one, is larger than the budget "
        "`arena` (`persistent_arena`, `non_persistent_arena`): the array in the firmware is too "
        "small.",
        "Look at the arena's peak: the tensors alive there decide. Raise the size in the firmware "
        "and here where the board has room.",
    ),
    "TB010": Code(
        "TFLM would refuse the model",
        "An operator, type or shape that TF Lite Micro at the named commit does not support: the "
        "device would fail while it loads, prepares or runs the model, however much memory it has.",
        "The headline names the operator and the step. Replace the layer, convert to full INT8, "
        "or state the cost of your own kernel in `[runtime.ops.NAME]`.",
    ),
    "TB011": Code(
        "TFLM would run the model wrongly",
        "Data that TFLM takes on trust: a shape, type, buffer or quantization that does not fit "
        "what its kernel reads, or an outcome that nothing defines. The device would show no "
        "error, and compute wrong results or overwrite memory.",
        "The headline names operator and tensor. Convert the model anew: at a fixed input shape, "
        "without sparsity, with its data in the file.",
    ),
    "TB012": Code(
        "this version of TFLM computes the model wrongly",
        "A kernel of the version of TFLM, or of its kernel library (CMSIS-NN, esp-nn), that the "
        "firmware is built with has a fault that a later version mended. The device would load and "
        "run the model, show no error, and compute other results than TensorFlow Lite. `(by "
        "history, not measured)` marks what was read in the sources and seen nowhere.",
        "The headline names the operator, what it does wrongly, and the commit or release that "
        "mended it. Flash one that has it, or convert the model so that it does without: "
        "`per_channel_dense = false` for dense layers of a Keras model or SavedModel.",
    ),
    "TB020": Code(
        "fits, but misses a requirement",
        "`strict`, `require_int8` or `--tinybudget-verify` asks for more than fitting.",
        "The headline says which; drop the requirement, or meet it.",
    ),
    "TB021": Code(
        "grew more than allowed",
        "Flash, RAM or another budgeted size grew over the baseline by more than `max_increase`.",
        "Look at what changed (`tinybudget diff`); agree on it until a date with "
        "`[[models.NAME.accept]]`, or refresh the baseline.",
    ),
    "TB022": Code(
        "too low, or unknown where a limit is declared",
        "Accuracy or agreement is below its minimum, or a figure with a limit is not known for "
        "this board: what is unknown never passes.",
        "Train further or lower the minimum; for an unknown figure drop the limit, or declare "
        "what is missing.",
    ),
    "TB023": Code(
        "growth has a limit and was not checked",
        "`max_increase` is declared, nothing comparable was there to hold it against, and "
        "`require_base` or `--require-base` asks for it.",
        "The headline says why there is no base. Compare with a commit (`--base auto`, under "
        "pytest `--tinybudget-base=auto`; a shallow clone needs `fetch-depth: 2`, or 0), or write "
        "the baseline file anew. In a change that repairs the base, leave `--require-base` out.",
    ),
    "TB024": Code(
        "drifted more than allowed",
        "Flash, RAM or another budgeted size is above what it was at a tag or release by more than "
        "`max_increase` with `since` allows, however many changes it took.",
        "Look at what changed since (`tinybudget diff --base TAG`); agree on it until a date with "
        "`[[models.NAME.accept]]`, or name a later release.",
    ),
    "TB100": Code(
        "wrong usage or input",
        "An argument, option or file is not what was expected; the line says what and where.",
        "Do as the line says; `tinybudget COMMAND --help` has an example.",
    ),
    "TB101": Code(
        "unknown name",
        "There is no board, runtime, model, operator or key of this name, or it is the name of a "
        "chip or a family that several boards have.",
        "The nearest names are in the line; `tinybudget boards TEXT` searches.",
    ),
    "TB102": Code(
        "cannot be written",
        "The disk refuses: no space, no permission, or the name leads out of the folder. Nothing "
        "was left half-written.",
        "Make room or choose another folder.",
    ),
    "TB103": Code(
        "a package is missing",
        "What was asked for needs a package that is not installed.",
        "Run the `pip install` command in the line; `tinybudget doctor` lists all extras.",
    ),
    "TB200": Code(
        "the declaration is wrong",
        "A `tinybudget.toml` has keys or values that are not valid; all mistakes are told at once, "
        "each with its line and an example.",
        "Mend the lines. An editor marks them as you type with the schema of `tinybudget schema`.",
    ),
    "TB300": Code(
        "the model cannot be read",
        "The file is empty, cut off, not TF Lite, a Git LFS pointer, or contradicts itself.",
        "Run `git lfs pull`, or write the file anew. A file that TFLM loads and this refuses is a "
        "bug here: report it.",
    ),
    "TB310": Code(
        "the shrunken model answers otherwise",
        "A model that was made smaller (`shrink`) gave another output than the file that it was "
        "made of, or did not run, in an interpreter on this machine. Nothing was written.",
        "This is a bug here: report it, with the model if you can. `shrink = false` measures the "
        "file as it is; `without` leaves out a change at a time.",
    ),
    "TB400": Code(
        "the model could not be converted",
        "The source is damaged, its data do not fit its inputs, or the converter crashed, ran out "
        "of time or memory, or left operators in float.",
        "The line names the step; `log:` names the file with everything that the converter "
        "printed. `conversion_timeout` and `conversion_memory` raise the limits.",
    ),
    "TB500": Code(
        "not a results file",
        "A baseline, shard or results file is damaged, of another version, or from other tables.",
        "Write it again with this version: `pytest --tinybudget --tinybudget-json=PATH`.",
    ),
    "TB600": Code(
        "Git does not have it",
        "The commit to compare with is not there, or this is no repository.",
        "Fetch it (`fetch-depth: 0` of actions/checkout), or name another with `--base`.",
    ),
}
