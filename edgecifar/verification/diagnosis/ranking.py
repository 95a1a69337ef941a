"""Ranking: how well each mistake explains what an app's model gave, or why its accuracy is low."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgecifar.artifacts import Dataset
from edgecifar.artifacts.diagnosis import Conclusion, Diagnosis, Hypothesis
from edgecifar.errors import VerificationError
from edgecifar.progress import SILENT, Progress
from edgecifar.protocol import Array
from edgecifar.verification import metrics
from edgecifar.verification.diagnosis.mistakes import MISTAKES, InputMistake, OutputMistake, Scores
from edgecifar.verification.diagnosis.site import Site
from edgecifar.verification.feeding import are_probabilities, softmax

SOUND = 0.03
"""Mean total variation distance up to which outputs are the right ones: engines differ by less."""
EXPLAINED = 0.75
"""A mistake explains outputs if at most this share of their distance from the right ones is left under it."""
AGREES = 0.6
"""And if the top-1 classes agree this often: outputs that are all alike are near to anything."""
TIE = 0.002
"""Distances that engines' roundings alone can turn."""
RESTORED = 0.10
"""Accuracy that a mistake has to win back to explain a low one, and three standard errors of it."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Outputs that an app logged for known images."""

    scores: NDArray[np.float32]
    """(N, classes)."""
    name: str
    """Of the file."""


@dataclass(frozen=True, slots=True)
class Trials:
    """What a model gives for some images under every mistake that it can show."""

    site: Site
    data: Dataset
    raw: Array
    """For the input that is said to be right, (N, classes)."""
    by_mistake: tuple[tuple[InputMistake, tuple[tuple[str, Scores], ...]], ...]
    """Of the mistakes on the way in: their forms, and the scores."""
    excluded: tuple[tuple[str, str], ...]


def try_mistakes(subject: str, site: Site, data: Dataset, progress: Progress = SILENT) -> Trials:
    """Returns what the model gives under every mistake; all that takes time.

    Args:
        subject: The model's name.
        site: The model, and how it is said to be fed and read.
        data: Images and labels.
        progress: Gets one task.
    """
    excluded, tried = [], []
    with progress.task(f"mistakes with {subject}", total=len(MISTAKES), unit="mistakes") as task:
        for mistake in MISTAKES:
            reason = mistake.excluded(site)
            if reason is not None:
                excluded.append((mistake.name, reason))
            elif isinstance(mistake, InputMistake):
                forms = tuple(
                    (variant, site.read(site.run(tensor)))
                    for variant, tensor in mistake.tensors(site, data.images)
                )
                tried.append((mistake, forms))
            task.advance()
    raw = site.run(site.right(data.images))
    return Trials(site, data, raw, tuple(tried), tuple(excluded))


def diagnose(subject: str, trials: Trials, logged: Logged | None = None) -> Diagnosis:
    """Returns which mistake best explains the logged outputs, or else the model's low accuracy.

    Without logged outputs, a mistake explains a low accuracy if the model does well under it: what is said of
    its input is then what is wrong.

    Args:
        subject: The model's name.
        trials: Of the images that were logged, in that order; or of any.
        logged: The app's outputs; None: there are none.

    Raises:
        VerificationError: The logged outputs are not of these images and classes, or are no numbers.
    """
    site, data, raw = trials.site, trials.data, trials.raw
    classes = len(data.class_names)
    target = np.eye(classes, dtype=np.float32)[data.labels]
    if logged is not None:
        _check(logged, len(data), classes)
        target = _as_probabilities(logged.scores, site, raw)
    judge = _Judge(None if logged is None else target, data.labels)
    forms = dict(trials.by_mistake)
    impossible = dict(trials.excluded)
    found = []
    for mistake in MISTAKES:
        if mistake.name in impossible:
            continue
        outputs = mistake.scores(site, raw, target) if isinstance(mistake, OutputMistake) else forms[mistake]
        one = [judge.hypothesis(mistake, variant, scores) for variant, scores in outputs]
        found.append(min(one, key=judge.key))
    right = judge.hypothesis(None, "", site.read(raw))
    ranking = _in_order(found, judge.key)
    return Diagnosis(
        model=subject,
        engine=site.model.info,
        images=len(data),
        preprocessing=site.feeding.describe(site.model.input),
        logged=None if logged is None else logged.name,
        logged_accuracy=None if logged is None else metrics.count_correct(target, data.labels) / len(data),
        right=right,
        ranking=ranking,
        excluded=trials.excluded,
        conclusion=_conclude(right, ranking[0], len(data)),
    )


def distance(one: Scores, other: Scores) -> float:
    """Returns the mean total variation distance: half the sum of differences, over the images.

    Args:
        one: (N, classes).
        other: (N, classes).
    """
    return float(np.abs(one.astype(np.float64) - other).sum(axis=1).mean() / 2)


@dataclass(frozen=True, slots=True)
class _Judge:
    logged: Scores | None
    labels: NDArray[np.int64]

    def hypothesis(
        self, mistake: InputMistake | OutputMistake | None, variant: str, scores: Scores
    ) -> Hypothesis:
        """Returns how well scores explain what was seen; no mistake: nothing is wrong."""
        known = self.logged
        finding, mend = "The model is fed and read as is said.", ""
        if mistake is not None:
            finding, mend = (mistake.wanted, "") if known is None else (mistake.finding, mistake.mend)
        return Hypothesis(
            name="nothing wrong" if mistake is None else mistake.name,
            variant=variant,
            finding=finding,
            mend=mend,
            distance=None if known is None else distance(scores, known),
            agreement=None if known is None else metrics.count_agreements(known, scores) / len(scores),
            accuracy=metrics.count_correct(scores, self.labels) / len(scores),
        )

    def key(self, hypothesis: Hypothesis) -> float:
        """Returns the less, the more it explains."""
        return -hypothesis.accuracy if hypothesis.distance is None else hypothesis.distance


def _in_order(found: list[Hypothesis], key: Callable[[Hypothesis], float]) -> tuple[Hypothesis, ...]:
    """Returns the best first; of those that are as good, the simplest, which comes first in `found`."""
    best = min(map(key, found))
    ordered = sorted(found, key=key)
    first = next(one for one in found if key(one) <= best + TIE)
    return (first, *(one for one in ordered if one is not first))


def _conclude(right: Hypothesis, first: Hypothesis, images: int) -> Conclusion:
    if right.distance is None or first.distance is None:
        error = 3 * np.sqrt(max(first.accuracy * (1 - first.accuracy), 1 / images) / images)
        if first.accuracy - right.accuracy >= max(RESTORED, float(error)):
            return Conclusion.MISTAKE
        return Conclusion.SOUND if right.accuracy > 0.5 else Conclusion.NONE
    if right.distance <= TIE:
        return Conclusion.SOUND
    agreement = first.agreement or 0.0
    if first.distance <= EXPLAINED * right.distance and agreement >= AGREES:
        return Conclusion.MISTAKE
    return Conclusion.SOUND if right.distance <= SOUND else Conclusion.NONE


def _check(logged: Logged, images: int, classes: int) -> None:
    if logged.scores.shape != (images, classes):
        raise VerificationError(
            f"{logged.name} has outputs of shape {logged.scores.shape}, but there are {images} images of "
            f"{classes} classes."
        )
    if not np.isfinite(logged.scores).all():
        row = int(np.argmin(np.isfinite(logged.scores).all(axis=1)))
        raise VerificationError(f"{logged.name}: row {row} holds a value that is no number.")


def _as_probabilities(scores: Scores, site: Site, raw: Array) -> Scores:
    """Returns logged scores in the form in which the site reads the model's: logits through softmax."""
    real = site.model.output.dequantize(raw)
    if site.feeding.are_logits(real, site.model.output) and not are_probabilities(scores, site.model.output):
        return softmax(scores)
    return scores
