import pytest

from edgecifar.errors import ExportError
from edgecifar.exporting.options import Io, Precision, check_io, check_onnx


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.FLOAT16, Precision.DYNAMIC])
def test_only_int8_models_have_int8_boundaries(precision):
    check_io(precision, Io.UINT8)
    check_io(precision, Io.FLOAT32)
    with pytest.raises(ExportError, match=f"A {precision} model has no int8 input"):
        check_io(precision, Io.INT8)


def test_int8_models_have_all_boundaries():
    for io in Io:
        check_io(Precision.INT8, io)


@pytest.mark.parametrize(("opset", "batch"), [(12, None), (19, None), (17, 0), (17, -1)])
def test_onnx_options_out_of_range_are_refused(opset, batch):
    with pytest.raises(ExportError):
        check_onnx(opset, batch)
