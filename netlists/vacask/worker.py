"""The worker process of VACASK; only :mod:`circuitmem.netlists.runner` starts it."""

from circuitmem.netlists.vacask.simulator import VacaskSimulator
from circuitmem.netlists.worker import serve_jobs

__all__: list[str] = []

if __name__ == "__main__":
    serve_jobs(VacaskSimulator)
