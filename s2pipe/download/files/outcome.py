"""What became of scenes: of one that was cut in two, of both halves together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from s2pipe.dataset.outcome import FailedScene
from s2pipe.download.files.transfer import SceneJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s2pipe.dataset.scene_key import SceneKey
    from s2pipe.dataset.step1_index import Scene
    from s2pipe.download.files.plan import SceneDownload


@dataclass(frozen=True)
class SceneOutcome:
    """One scene with its other halves."""

    jobs: tuple[SceneJob, ...]
    """Its own products, and those of its other halves that were fetched."""

    @property
    def key(self) -> SceneKey:
        """Tile and sensing start."""
        return self.jobs[0].plan.key

    @property
    def scene(self) -> Scene:
        """Its index entry as it is now."""
        first, *others = (job.scene() for job in self.jobs)
        return replace(first, others=tuple(others))

    @property
    def status(self) -> str:
        """That of its parts where they agree (see :attr:`SceneJob.status`), else what is left to do."""
        found = {job.status for job in self.jobs}
        if len(found) == 1 or "failed" in found:
            return "failed" if "failed" in found else found.pop()
        if found == {"done", "up_to_date"}:
            return "done"
        return "planned" if found == {"planned", "up_to_date"} else "unfinished"

    @property
    def error(self) -> str | None:
        """Everything that went wrong."""
        return "\n".join(job.error for job in self.jobs if job.error is not None) or None

    @property
    def failed(self) -> FailedScene | None:
        """Why it is not whole; None where nothing failed."""
        return FailedScene(self.key, self.error or "") if self.status == "failed" else None

    def to_document(self) -> dict[str, Any]:
        """Return what the run's manifest says of it."""
        traces = (item for job in self.jobs for item in job.tracebacks.items())
        return {
            **self.scene.to_document(),
            "status": self.status,
            "error": self.error,
            "seconds": round(sum(job.seconds for job in self.jobs), 3),
            "files_to_fetch": sum(len(job.plan.tasks) for job in self.jobs),
            "bytes_to_fetch": sum(job.plan.bytes_missing for job in self.jobs),
            "tracebacks": dict(traces),
        }


def outcomes(jobs: Sequence[SceneJob]) -> list[SceneOutcome]:
    """Return the scenes of jobs, in which halves follow the scene that they belong to."""
    return [SceneOutcome(tuple(group)) for _, group in groupby(jobs, key=lambda job: job.plan.key)]


def without_lone_halves(plans: Sequence[SceneDownload]) -> list[SceneDownload]:
    """Fetch no half of a scene whose own products cannot be fetched."""
    lost = {plan.key: plan for plan in plans if plan.error is not None and plan.pair.l1c.half is None}

    def whole(plan: SceneDownload) -> SceneDownload:
        if plan.pair.l1c.half is None or plan.key not in lost or plan.error is not None:
            return plan
        reason = f"{plan.pair.l1c.name}: covers the rest of {lost[plan.key].pair.l1c.name}, which cannot be fetched"
        return replace(plan, tasks={}, ready={}, estimated=None, error=reason)

    return list(map(whole, plans))
