"""Operators of TFLite files by code, and files from their unpacked form."""

from typing import Any

import flatbuffers

_IDENTIFIER = b"TFL3"


def code_of(model: Any, operator: Any) -> int:
    """Returns an operator's code in TFLite's schema, `BuiltinOperator`.

    Args:
        model: A `Model` of the generated schema.
        operator: One of its `Operator`s.
    """
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Codes above 127 do not fit the field of old files.
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def unpacked_code_of(model: Any, operator: Any) -> int:
    """Returns an operator's code in TFLite's schema, `BuiltinOperator`.

    Args:
        model: A `ModelT` of the generated schema.
        operator: One of its `OperatorT`s.
    """
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def pack(model: Any) -> bytes:
    """Returns the content of the file that a `ModelT` describes."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())
