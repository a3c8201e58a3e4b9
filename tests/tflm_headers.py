"""Declarations of TFLM's interface as it was at a date: as little as the generated files use.

Names, parameters and headers are TFLM's; what stands here declares them and nothing more, so that
a compiler says whether code would compile with the TFLM of that time.
"""

from __future__ import annotations


_MICRO = "tensorflow/lite/micro"

#: When ``AddCustom`` took which type of registration, the newest first (ISO, UTC).
_REGISTRATIONS = (
    ("2023-06-21T20:36", "TFLMRegistration", "const "),
    ("2023-05-26T06:48", "TFLMRegistration", ""),
    ("2023-03-11T01:12", "TfLiteRegistration_V1", ""),
    ("2021-04", "TfLiteRegistration", ""),
)

#: The methods that the tests' models need: since when there are such, since when they take a
#: registration, and their type-specific registrations.
_METHODS = (
    ("AddConv2D", "CONV_2D", "2021-04", "2021-06-16", {"INT8": "2022-03-29", "INT4": "2023-11-14"}),
    ("AddFullyConnected", "FULLY_CONNECTED", "2021-04", "2021-04", {"INT8": "2021-04"}),
    ("AddSoftmax", "SOFTMAX", "2021-04", "2021-05-19", {"INT8": "2022-05-13"}),
    ("AddTranspose", "TRANSPOSE", "2021-05-20", "2025-08-19", {"INT8": "2025-03-20"}),
    ("AddVarHandle", "VAR_HANDLE", "2021-09-07", "2025-08-19", {}),
    ("AddBatchMatMul", "BATCH_MATMUL", "2023-09-06", "2025-02-07", {"INT8": "2024-09-09"}),
)

_KERNEL_HEADERS = {
    "CONV_2D": "conv",
    "FULLY_CONNECTED": "fully_connected",
    "SOFTMAX": "softmax",
    "TRANSPOSE": "transpose",
    "BATCH_MATMUL": "batch_matmul",
}


def headers_of(date: str) -> dict[str, str]:
    """The contents of the headers of a TFLM of ``date`` (ISO, UTC), by path."""
    kind, constant = next((kind, const) for since, kind, const in _REGISTRATIONS if since <= date)
    found = {
        f"{_MICRO}/micro_mutable_op_resolver.h": _resolver(date, kind, constant),
        f"{_MICRO}/micro_interpreter.h": _interpreter(date),
        f"{_MICRO}/micro_allocator.h": f"#pragma once\n{_allocator(date)}",
        "tensorflow/lite/schema/schema_generated.h": _SCHEMA,
    }
    for _, operator, _, _, types in _METHODS:
        if operator in _KERNEL_HEADERS:
            declared = " ".join(
                f"{kind} Register_{operator}_{name}();"
                for name, since in types.items()
                if since <= date
            )
            path = f"{_MICRO}/kernels/{_KERNEL_HEADERS[operator]}.h"
            found[path] = f"#pragma once\n{_struct(kind)}\nnamespace tflite {{ {declared} }}\n"
    if date < "2022-11-18":  # then it moved, since nothing needed it anymore
        found[f"{_MICRO}/micro_error_reporter.h"] = _ERROR_REPORTER
    if date >= "2021-09-07":
        found[f"{_MICRO}/micro_resource_variable.h"] = _VARIABLES
    return found


def _struct(kind: str) -> str:
    return f"#ifndef STRUCT_\n#define STRUCT_\nstruct {kind} {{ int kind; }};\n#endif"


def _resolver(date: str, kind: str, constant: str) -> str:
    methods, declared = [], []
    for method, operator, since, takes, _ in _METHODS:
        if since > date:
            continue
        declared.append(f"{kind} Register_{operator}();")
        default = f"const {kind}& r = Register_{operator}()" if takes <= date else ""
        added = "r" if takes <= date else f"Register_{operator}()"
        methods.append(f"TfLiteStatus {method}({default}) {{ return Add({added}); }}")
    if date >= "2023-06-21T20:36":
        methods.append("TfLiteStatus AddRfft() { return kTfLiteOk; }")
    reporter = "ErrorReporter* = nullptr" if date < "2022-10-19" else ""
    lines, functions = "\n  ".join(methods), " ".join(declared)
    return f"""#pragma once
enum TfLiteStatus {{ kTfLiteOk, kTfLiteError }};
{_struct(kind)}
namespace tflite {{
class ErrorReporter;
{functions}
class MicroOpResolver {{}};
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {{
 public:
  explicit MicroMutableOpResolver({reporter}) {{}}
  TfLiteStatus AddCustom(const char* name, {constant}{kind}* registration) {{
    return name[0] == 0 ? kTfLiteError : Add(*registration);
  }}
  {lines}
 private:
  TfLiteStatus Add(const {kind}& registration) {{
    if (used_ == tOpCount) return kTfLiteError;
    all_[used_++] = registration;
    return kTfLiteOk;
  }}
  {kind} all_[tOpCount];
  unsigned int used_ = 0;
}};
}}
"""


def _reporters(date: str) -> list[str]:
    """What constructors took for an error reporter: needed, taken or not known."""
    needed, free = "ErrorReporter* reporter", ""
    if date < "2022-09-19T19:03":
        return [needed]
    return [needed, free] if date < "2022-10-19T16:57" else [free]


def _interpreter(date: str) -> str:
    constructors = []
    for memory in ("uint8_t* arena, size_t size", "MicroAllocator* allocator"):
        for reporter in _reporters(date):
            arguments = ["const Model* model", "const MicroOpResolver& resolver", memory]
            arguments += [reporter] if reporter else []
            if date >= "2021-09-07":
                arguments.append("MicroResourceVariables* variables = nullptr")
            constructors.append(f"MicroInterpreter({', '.join(arguments)});")
    lines = "\n  ".join(constructors)
    return f"""#pragma once
#include <cstddef>
#include <cstdint>
#include "{_MICRO}/micro_allocator.h"
#include "{_MICRO}/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
struct TfLiteTensor {{ union {{ int8_t* int8; float* f; }} data; }};
namespace tflite {{
class MicroResourceVariables;
class MicroInterpreter {{
 public:
  {lines}
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  TfLiteTensor* output(size_t);
}};
}}
"""


def _allocator(date: str) -> str:
    creators = []
    for reporter in _reporters(date):
        more = [reporter] if reporter else []
        one, other = "uint8_t* a, size_t a_size", "uint8_t* b, size_t b_size"
        creators.append(f"static MicroAllocator* Create({', '.join([one, *more])});")
        if date >= "2022-07-01T00:29":
            creators.append(f"static MicroAllocator* Create({', '.join([one, other, *more])});")
    lines = "\n  ".join(creators)
    return f"""#include <cstddef>
#include <cstdint>
namespace tflite {{
class ErrorReporter;
class MicroAllocator {{
 public:
  {lines}
}};
}}
"""


_SCHEMA = """#pragma once
namespace tflite {
struct Model { int version; };
inline const Model* GetModel(const void* content) { return static_cast<const Model*>(content); }
}
"""

_ERROR_REPORTER = """#pragma once
namespace tflite {
class ErrorReporter {};
ErrorReporter* GetMicroErrorReporter();
}
"""

_VARIABLES = """#pragma once
#include "tensorflow/lite/micro/micro_allocator.h"
namespace tflite {
class MicroResourceVariables {
 public:
  static MicroResourceVariables* Create(MicroAllocator* allocator, int variables);
};
}
"""
