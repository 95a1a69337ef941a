import pytest

from edgecifar import pipeline


def test_every_name_is_found_and_no_other() -> None:
    assert set(pipeline.__all__) <= set(dir(pipeline))
    for name in pipeline.__all__:
        assert callable(getattr(pipeline, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing
