"""The recursion of exponential smoothing, for many cells at once, and the search for its parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

STARTS = {"alpha": (0.1, 0.5, 0.9), "beta": (0.1,), "phi": (0.5,), "gamma": (0.05, 0.3)}
LEAST = 1e-4  # of 0 a trend would fade into denormal numbers, which are slow
LONGEST, SHORTEST = 0.2, 0.005  # steps of the search
LITTLE = 5e-4  # share of the squared errors that a sweep has to take off, for the steps to stay
SWEEPS = 40
BLOCK = 2**14  # cells times candidates that go through the series together, so that they stay in cache


@dataclass(frozen=True, kw_only=True)
class State:
    """What the recursion knows after a frame; None is a part that the model does not have."""

    level: np.ndarray  # (..., component)
    trend: np.ndarray | None  # (..., component), per step
    season: np.ndarray | None  # (position, ..., component)

    def copy(self) -> "State":
        """The same, in arrays of its own."""
        return State(
            level=self.level.copy(),
            trend=None if self.trend is None else self.trend.copy(),
            season=None if self.season is None else self.season.copy(),
        )

    def hold(self, given: "Parameters") -> None:
        """A step without an observation, in place."""
        if self.trend is not None:
            np.multiply(self.trend, given.phi, out=self.trend)
            np.add(self.level, self.trend, out=self.level)

    def of(self, components: slice | np.ndarray) -> "State":
        """The state of some components."""
        return State(
            level=self.level[components],
            trend=None if self.trend is None else self.trend[components],
            season=None if self.season is None else self.season[:, components],
        )

    def copies(self, n: int, cells: np.ndarray) -> "State":
        """The state of some cells, n times, to be run with different parameters."""
        shape = (n, len(cells))
        return State(
            level=np.array(np.broadcast_to(self.level[cells], shape)),
            trend=None if self.trend is None else np.array(np.broadcast_to(self.trend[cells], shape)),
            season=None
            if self.season is None
            else np.array(np.broadcast_to(self.season[:, None, cells], (len(self.season), *shape))),
        )


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How fast each part of the state follows; (..., component) each."""

    alpha: np.ndarray  # level
    beta: np.ndarray  # trend, as a share of what the level changes
    gamma: np.ndarray  # season
    phi: np.ndarray  # what is left of the trend after a step

    @classmethod
    def joined(cls, parts: "Sequence[tuple[slice | np.ndarray, Parameters]]") -> "Parameters":
        """Those of all components, from those of some; a slice is all of them."""
        if len(parts) == 1:
            return parts[0][1]
        order = np.argsort(np.concatenate([np.asarray(components) for components, _ in parts]))
        names = ("alpha", "beta", "gamma", "phi")
        each = {name: [getattr(some, name) for _, some in parts] for name in names}
        return cls(**{name: np.concatenate(values)[order] for name, values in each.items()})


def run(values: np.ndarray, positions: np.ndarray, state: State, given: Parameters) -> Iterator[np.ndarray]:
    """The error of each one-step forecast, while the state, changed in place, moves on.

    With l, b, s for level, trend and season, e(t) = x(t) - l(t-1) - phi b(t-1) - s(t-m), and

        l(t) = l(t-1) + phi b(t-1) + alpha e(t)
        b(t) = phi b(t-1) + alpha beta e(t)
        s(t) = s(t-m) + gamma e(t)

    Where a value is NaN, e(t) is 0: the state holds, the level going on along its trend.

    Args:
        values: (row, component).
        positions: (row,): where each row stands in the season.
        state: After the row before the first.
        given: Parameters, of the state's shape.

    Yields:
        After each row, an array that the next row overwrites.
    """
    error, change = np.empty_like(state.level), np.empty_like(state.level)
    known = np.isfinite(values)
    gaps = np.logical_not(known.all(axis=1))
    values = np.where(known, values, 0.0) if gaps.any() else values
    alpha_beta = given.alpha * given.beta
    for row in range(len(values)):
        state.hold(given)
        np.subtract(values[row], state.level, out=error)
        seasonal = None if state.season is None else state.season[positions[row]]
        if seasonal is not None:
            np.subtract(error, seasonal, out=error)
        if gaps[row]:
            np.multiply(error, known[row], out=error)
        np.add(state.level, np.multiply(given.alpha, error, out=change), out=state.level)
        if state.trend is not None:
            np.add(state.trend, np.multiply(alpha_beta, error, out=change), out=state.trend)
        if seasonal is not None:
            np.add(seasonal, np.multiply(given.gamma, error, out=change), out=seasonal)
        yield error


def squared_errors(values: np.ndarray, positions: np.ndarray, state: State, given: Parameters) -> np.ndarray:
    """(candidate, component): the sum over all rows; values and parameters are those of the state's cells."""
    total = np.zeros_like(state.level)
    square = np.empty_like(total)
    for error in run(values, positions, state, given):
        np.add(total, np.multiply(error, error, out=square), out=total)
    return total


def fit_parameters(
    values: np.ndarray, positions: np.ndarray, state: State, fixed: Mapping[str, float | None]
) -> Parameters:
    """For each cell, the parameters whose one-step forecasts err least, in squares, over all rows.

    A compass search: from the best of a few starts, one parameter after another goes a step up or down if
    that is better; where none is, the steps become a third. All cells that still search do so together.

    Args:
        values: (row, component); NaN is what was not observed.
        positions: (row,): where each row stands in the season.
        state: Before the first row; it is not changed.
        fixed: The parameters that are not to be searched for, None for those that are.

    Returns:
        alpha and beta in [0.0001, 1], gamma in [0, 1 - alpha], phi in [0.8, 0.98]; of the parts that the
        state lacks beta = gamma = 0, phi = 1.
    """
    parts = {"alpha": True, "beta": state.trend is not None, "phi": state.trend is not None}
    parts["gamma"] = state.season is not None
    free = [name for name, there in parts.items() if there and fixed[name] is None]
    given = {name: fixed[name] for name, there in parts.items() if there and fixed[name] is not None}

    values, state = _centred(values, state)

    def errors(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
        several, tried = state.copies(len(points), cells), points.astype(np.float32)
        return squared_errors(values[:, cells], positions, several, _parameters(tried, free, given))

    best = np.zeros((values.shape[1], 0))
    if free:
        starts = np.array(list(product(*(STARTS[name] for name in free))))
        best = _compass(errors, starts, values.shape[1])
    return _parameters(best, free, given)


def _centred(values: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """Values and state less the first level, over the largest that is left, in float32, which is faster.

    The recursion is linear, and its parameters do not know the origin or the unit.
    """
    values = np.where(np.isfinite(values), values - state.level, np.nan)
    scale = np.fmax.reduce(np.abs(values), axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    return (values / scale).astype(np.float32), State(
        level=np.zeros_like(state.level, dtype=np.float32),
        trend=None if state.trend is None else (state.trend / scale).astype(np.float32),
        season=None if state.season is None else (state.season / scale).astype(np.float32),
    )


def _parameters(points: np.ndarray, free: Sequence[str], given: Mapping[str, float | None]) -> Parameters:
    """Points of the search, (..., component, parameter) in [0, 1], as parameters."""
    absent = {"beta": 0.0, "gamma": 0.0, "phi": 1.0}
    found = {
        name: np.full(points.shape[:-1], value, points.dtype)
        for name, value in (absent | dict(given)).items()
    }
    found |= {name: points[..., position] for position, name in enumerate(free)}
    if "gamma" in free:
        found["gamma"] = found["gamma"] * (1 - found["alpha"])
    if "phi" in free:
        found["phi"] = 0.8 + 0.18 * found["phi"]
    return Parameters(**found)


def _compass(
    errors: Callable[[np.ndarray, np.ndarray], np.ndarray], starts: np.ndarray, n_cells: int
) -> np.ndarray:
    """(component, parameter) in [LEAST, 1]: where ``errors(points, cells)``, (point, component), is least."""
    everywhere = np.arange(n_cells)
    first = _in_blocks(errors, np.repeat(starts[:, None], n_cells, axis=1), everywhere)
    best, least = starts[first.argmin(axis=0)], first.min(axis=0)
    steps = np.full(n_cells, LONGEST)
    for _ in range(SWEEPS):
        cells = np.flatnonzero(steps >= SHORTEST)
        if not len(cells):
            break
        before = least[cells]
        for direction in np.eye(starts.shape[1]):
            move = steps[cells, None] * direction
            tried = np.clip(np.stack([best[cells] - move, best[cells] + move]), LEAST, 1.0)
            found = _in_blocks(errors, tried, cells)
            better = np.flatnonzero(found.min(axis=0) < least[cells])
            best[cells[better]] = tried[found.argmin(axis=0)[better], better]
            least[cells[better]] = found.min(axis=0)[better]
        steps[cells[least[cells] >= (1 - LITTLE) * before]] /= 3
    return best


def _in_blocks(
    errors: Callable[[np.ndarray, np.ndarray], np.ndarray], points: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    n = max(1, BLOCK // len(points))
    blocks = [slice(start, start + n) for start in range(0, len(cells), n)]
    return np.concatenate([errors(points[:, block], cells[block]) for block in blocks], axis=1)
