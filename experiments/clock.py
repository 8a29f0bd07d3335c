"""The training clock: it stands still during evaluation, probes, logging and checkpoints."""

import time

import torch


class Clock:
    """Time spent training: started and stopped around everything else."""

    def __init__(self, device: torch.device, before: float = 0.0) -> None:
        self._device, self._before = device, before
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (time.perf_counter() - self._since if self._since is not None else 0.0)

    def start(self) -> None:
        """Go on."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Pause, once the device has finished its work."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self._before, self._since = self.seconds, None
