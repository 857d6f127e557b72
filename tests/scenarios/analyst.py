"""A stand-in for whoever measures: it starts AnalysisRuns, and ends them as a test has decided."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prograde.simulator.loop import wall_clock
from prograde.simulator.world import World

SECONDS = 5.0
"""How long every run takes."""

FINISHED = ("Successful", "Failed", "Error", "Inconclusive")


class Analyst:
    """Watches the runs of a cluster. `results` decides how runs end whose names contain a key; without, they go on."""

    def __init__(self, it: World, **results: str) -> None:
        self.results = results
        self._it = it
        self._began: dict[str, float] = {}

    def runs(self, kind: str = "analysisruns") -> dict[str, str]:
        """Return the phase of every run by name, the oldest first; ``stopping`` for those that were told to stop."""
        found = sorted(self._it.sandbox.list(kind), key=lambda each: str(each["metadata"]["creationTimestamp"]))
        return {each["metadata"]["name"]: _phase(each) for each in found}

    async def work(self) -> None:
        while True:
            for run in self._it.sandbox.list("analysisruns"):
                self._go_on(run)
            await asyncio.sleep(0.5)

    def _go_on(self, run: Any) -> None:
        name, phase = run["metadata"]["name"], (run.get("status") or {}).get("phase", "")
        now = asyncio.get_running_loop().time()
        if phase in FINISHED:
            return
        if run["spec"].get("terminate"):
            self._say(name, phase="Successful", message="terminated")
        elif not phase:
            self._began[name] = now
            self._say(name, phase="Running")
        elif now - self._began[name] >= SECONDS:
            result = next((result for key, result in self.results.items() if key in name), None)
            if result is not None:
                self._say(name, phase=result, message=f"decided {result}")

    def _say(self, name: str, **status: str) -> None:
        started = {"startedAt": f"{wall_clock():%Y-%m-%dT%H:%M:%SZ}"}
        self._it.sandbox.patch("analysisruns", name, {"status": {**started, **status}})


def _phase(run: Any) -> str:
    phase = str((run.get("status") or {}).get("phase", ""))
    return "stopping" if run["spec"].get("terminate") and phase not in FINISHED else phase


@asynccontextmanager
async def analyst(it: World, **results: str) -> AsyncIterator[Analyst]:
    """Yield an analyst at work. Keys are parts of names; a dash is written as an underscore."""
    made = Analyst(it, **{key.replace("_", "-"): result for key, result in results.items()})
    task = asyncio.create_task(made.work())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
