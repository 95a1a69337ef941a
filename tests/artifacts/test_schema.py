"""The JSON Schema of reports that comes with the package. To write it anew:

python -c "import json; from edgecifar.artifacts import ParityReport as R;
print(json.dumps(R.model_json_schema(), indent=2))" > edgecifar/artifacts/report.schema.json
"""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from edgecifar.artifacts import ParityReport


@pytest.fixture
def schema(checkout: Path) -> dict[str, object]:
    text = (checkout / "edgecifar" / "artifacts" / "report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, object] = json.loads(text)
    return loaded


def test_it_is_the_reports_own(schema: dict[str, object]) -> None:
    assert schema == ParityReport.model_json_schema()
    Draft202012Validator.check_schema(schema)


def test_a_real_report_follows_it_and_a_damaged_one_does_not(
    schema: dict[str, object], checkout: Path
) -> None:
    path = checkout / "tests" / "reporting" / "real_report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(report)
    del report["comparisons"][0]["accuracy"]
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(report)


@pytest.mark.parametrize("bundle", ["edge-vgg6", "edge-vgg6-sparse", "tiny-resnet8"])
def test_shipped_reports_are_readable(bundle: str, checkout: Path) -> None:
    report = ParityReport.read(checkout / "exported" / bundle / "report" / "report.json")
    assert report.passed
    assert ParityReport.model_validate_json(report.model_dump_json()) == report
