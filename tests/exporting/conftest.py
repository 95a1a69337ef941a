"""The int8 TFLite files of the tiny network, converted once."""

import pytest

from edgecifar.exporting import tflite
from edgecifar.exporting.options import Io, Precision


@pytest.fixture(scope="session")
def int8_files(tiny) -> dict[tuple[str, Io], bytes]:
    """TFLite contents by (source, io); sources are "float_model" and "qat_model"."""
    return {
        (source, io): tflite.convert(
            getattr(tiny, source),
            Precision.INT8,
            io,
            tiny.preprocessing,
            tiny.calibration if source == "float_model" else None,
        )
        for source in ("float_model", "qat_model")
        for io in Io
    }
