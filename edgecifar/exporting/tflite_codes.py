"""Operators of TFLite files by code, read without unpacking the file."""

from typing import Any


def code_of(model: Any, operator: Any) -> int:
    """Returns an operator's code in TFLite's schema, `BuiltinOperator`.

    Args:
        model: A `Model` of the generated schema.
        operator: One of its `Operator`s.
    """
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Codes above 127 do not fit the field of old files.
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
