"""The jobs of Ray that run sweeps: start one, find a sweep's latest, follow its output, stop it."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from search.cluster.authentication import MODE, TOKEN_FILE, environment, own_token
from search.cluster.ray_internals import reload_token
from trainable.errors import ConfigError

SWEEP = "transfersweep.sweep"
"""Key of a job's metadata: the name of its sweep. Nothing else is stored there."""
STATES = {"PENDING": "waiting", "RUNNING": "running", "SUCCEEDED": "finished", "FAILED": "failed", "STOPPED": "stopped"}


@dataclass(frozen=True)
class Job:
    """A job that runs, or ran, a sweep."""

    sweep: str
    id: str
    state: str
    """A value of `STATES`."""
    message: str
    """What Ray says about the state; it may be empty."""
    began: datetime | None
    ended: datetime | None

    @property
    def has_ended(self) -> bool:
        """Return whether it will not change any more."""
        return self.state in ("finished", "failed", "stopped")


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of Ray's dashboard, such as `http://127.0.0.1:8265`.
    """

    def __init__(self, address: str) -> None:
        self._client = JobSubmissionClient(address)

    def submit(self, sweep: str, command: str) -> Job:
        """Start a job on the head.

        Args:
            sweep: the name of the sweep that it runs.
            command: for the shell there. It is stored and shown by Ray, so it must contain no password.

        Raises:
            ConfigError: if a job runs that sweep already.
        """
        self.check_free(sweep)
        name = f"{sweep}-{uuid.uuid4().hex[:8]}"
        self._client.submit_job(entrypoint=command, submission_id=name, metadata={SWEEP: sweep})
        return self._job(self._client.get_job_info(name))

    def check_free(self, sweep: str) -> None:
        """Check that no job runs a sweep.

        Raises:
            ConfigError: if one does.
        """
        for job in self.of(sweep):
            if not job.has_ended:
                raise ConfigError(f"{sweep}: the job {job.id} runs that sweep; stop it first, or choose another name")

    def of(self, sweep: str) -> list[Job]:
        """Return the jobs of a sweep, the latest first."""
        found = [self._job(each) for each in self._client.list_jobs() if (each.metadata or {}).get(SWEEP) == sweep]
        oldest = datetime.fromtimestamp(0, UTC)
        return sorted(found, key=lambda job: job.began or oldest, reverse=True)

    def latest(self, sweep: str) -> Job:
        """Return the latest job of a sweep.

        Raises:
            ConfigError: if there is none.
        """
        jobs = self.of(sweep)
        if not jobs:
            raise ConfigError(
                f"{sweep}: the cluster has no job for a sweep of that name; `transfersweep submit` adds one"
            )
        return jobs[0]

    def follow(self, job: Job, write: Callable[[str], object]) -> Job:
        """Pass on the output of a job, from its begin to its end; return how it ended.

        Raises:
            ConnectionError: if the connection breaks. The job continues.
        """

        async def pass_on() -> None:
            async for text in self._client.tail_job_logs(job.id):
                write(text)

        try:
            asyncio.run(pass_on())
        except RuntimeError as error:
            raise ConnectionError(str(error)) from error
        return self._job(self._client.get_job_info(job.id))

    def output(self, job: Job) -> str:
        """Return the output of a job so far."""
        return str(self._client.get_job_logs(job.id))

    def stop(self, job: Job) -> bool:
        """Ask a job to end; return whether it was still running."""
        return bool(self._client.stop_job(job.id))

    def _job(self, details: JobDetails) -> Job:
        return Job(
            sweep=(details.metadata or {}).get(SWEEP, ""),
            id=str(details.submission_id),
            state=STATES[details.status.value],
            message=details.message or "",
            began=_time(details.start_time),
            ended=_time(details.end_time),
        )


@contextmanager
def connect(address: str) -> Iterator[Jobs]:
    """Connect to the job server at an address, with this user's token if there is one.

    Raises:
        ConfigError: if nothing answers there, or the cluster refuses the token.
    """
    mode = {} if own_token() is None else {MODE: "token"}
    try:
        with environment(mode):
            reload_token()
            yield Jobs(address)
    except AuthenticationError:
        raise ConfigError(
            f"{address}: the cluster refuses this user's token; copy the head's {TOKEN_FILE} to this machine (mode 600)"
        ) from None
    except ConnectionError as error:
        raise ConfigError(f"{address}: the job server does not answer ({error!s:.200})") from None
    finally:
        reload_token()


def _time(milliseconds: int | None) -> datetime | None:
    return None if not milliseconds else datetime.fromtimestamp(milliseconds / 1000, UTC)
