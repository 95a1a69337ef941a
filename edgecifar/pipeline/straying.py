"""verify --layers: where the runtimes that were asked for stray from the one that was looked into."""

from collections.abc import Sequence

from edgecifar.artifacts import Dataset
from edgecifar.artifacts.layers import Strayed
from edgecifar.choices import ALL_RUNTIMES
from edgecifar.errors import EngineMissingError, ModelError, VerificationError
from edgecifar.host import core_count
from edgecifar.pipeline.subjects import Subject, open_subjects
from edgecifar.protocol import Tapped
from edgecifar.runtimes import RUNTIME_NAMES, get_runtime
from edgecifar.runtimes.tapping import PROBED_RUNTIMES, TAPPED_RUNTIMES, open_probed, open_tapped
from edgecifar.verification.layers import find_stray, probe_stray

STRAY_IMAGES = 10
"""Reference kernels take their time, and one image shows where a runtime strays."""

_TWINS = {
    "litert": ("litert-builtin", "litert-reference"),
    "litert-builtin": ("litert",),
    "litert-reference": ("litert",),
    "tflm": ("litert", "litert-reference"),
}
"""What is looked into beside a runtime, asked for or not."""


def asked_for(subjects: Sequence[Subject], runtimes: Sequence[str]) -> list[Subject]:
    """Returns the files that one of the runtimes reads; all of them if none is named.

    Raises:
        VerificationError: There is none.
    """
    if not runtimes or ALL_RUNTIMES in runtimes:
        return list(subjects)
    suffixes = {suffix for name in runtimes for suffix in get_runtime(name).suffixes}
    found = [subject for subject in subjects if subject.suffix in suffixes]
    if not found:
        raise VerificationError(
            f"There is no layer to compare: {_none_from(runtimes)}.", f"These do: {', '.join(_givers())}."
        )
    return found


def find_strays(
    subject: Subject, actual: Tapped, data: Dataset, runtimes: Sequence[str]
) -> tuple[tuple[Strayed, ...], tuple[str, ...]]:
    """Returns where other runtimes first stray, and a sentence on those that cannot be looked into.

    Beside those that were asked for, the other kernels of LiteRT and a bundle's TFLite twin are looked into.

    Args:
        subject: A file.
        actual: The same in the runtime that all others are compared with.
        data: Images: STRAY_IMAGES of them for the runtimes that give all layers, all for the others.
        runtimes: Those that were asked for, "all" for each that is here.
    """
    others = _others(subject, actual.info.runtime, runtimes)
    blind = [name for name in others if not _gives_layers(name, subject.suffix)]
    sentences = [f"{_none_from(blind)}; the table is of {actual.info.runtime}."] if blind else []
    seen = [name for name in others if name not in blind]
    if not any(layer.output.scale for layer in actual.layers):
        if seen:
            sentences.append(
                f"{', '.join(seen)}: where a runtime strays is told in steps, and these layers give floats."
            )
        return (), tuple(sentences)
    strayed: list[Strayed] = []
    twins = _TWINS.get(actual.info.runtime, ())
    for name in dict.fromkeys((*twins, *seen)):
        try:
            strayed.append(_find(subject, actual, data, name))
        except (ModelError, EngineMissingError) as error:
            sentences.append(f"{name} was not looked into: {error.problem}")
    twin = None if subject.suffix == ".tflite" else _twin(subject)
    if twin is not None:
        images = data.images[:STRAY_IMAGES]
        other = open_tapped(twin.path, None, core_count())
        batches = twin.feeding.encode(images, other.input), subject.feeding.encode(images, actual.input)
        strayed.append(find_stray(other, actual, [batches]))
    return tuple(strayed), tuple(sentences)


def _others(subject: Subject, base: str, runtimes: Sequence[str]) -> list[str]:
    """Returns the runtimes that were asked for, but the one looked into and those that read other files."""
    if ALL_RUNTIMES in runtimes:
        names = [name for name in RUNTIME_NAMES if subject.suffix in get_runtime(name).suffixes]
    else:
        layered = set(TAPPED_RUNTIMES)
        # One that reads neither format, such as C, has no file of its own here that could say so.
        names = [
            name
            for name in dict.fromkeys(runtimes)
            if subject.suffix in get_runtime(name).suffixes or not layered & set(get_runtime(name).suffixes)
        ]
    return [name for name in names if name != base]


def _find(subject: Subject, actual: Tapped, data: Dataset, name: str) -> Strayed:
    if name in PROBED_RUNTIMES:
        probed = open_probed(subject.path, core_count())
        batches = [subject.feeding.encode(data.images, one) for one in (probed.input, actual.input)]
        return probe_stray(probed, actual, batches[0], batches[1])
    images = data.images[:STRAY_IMAGES]
    other = open_tapped(subject.path, name, core_count())
    batch, mine = (subject.feeding.encode(images, one) for one in (other.input, actual.input))
    return find_stray(other, actual, [(batch, mine)])


def _gives_layers(name: str, suffix: str) -> bool:
    return name in PROBED_RUNTIMES or name in TAPPED_RUNTIMES[suffix]


def _givers() -> tuple[str, ...]:
    return (*(name for names in TAPPED_RUNTIMES.values() for name in names), *PROBED_RUNTIMES)


def _none_from(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'gives' if len(names) == 1 else 'give'} no layers"


def _twin(subject: Subject) -> Subject | None:
    """Returns the int8 TFLite file of the same bundle."""
    if subject.origin is None:
        return None
    return next(
        (one for one in open_subjects(subject.origin) if (one.format, one.precision) == ("tflite", "int8")),
        None,
    )
