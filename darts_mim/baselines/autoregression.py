"""A linear regression of what comes on what came, cell by cell."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from sklearn.utils.validation import check_is_fitted

from darts_mim.baselines.base import Baseline, Past
from darts_mim.baselines.rows import Held, Rows
from darts_mim.errors import TooShortError
from darts_mim.grid.times import period_steps, positive

BLOCK = 2**22  # values of the regressors made together, so that fitting needs little memory
CELLS = 2**25  # values of the cells that are read together of a series that is not in memory
SMALLEST = 1e-12  # share of the largest eigenvalue below which regressors count as dependent


class Autoregression(Baseline):
    """Each cell's next frames as linear functions of its own last frames, and of those a season before.

    forecast(t + h) = c + sum_j a_j x(t - j) + sum_S (b x(t + h - S) + sum_j d_j x(t - S - j)), with j from 0
    to lags - 1, S the seasonal lags, and coefficients for each cell and each lead h: those of least squares
    over all training windows in which the cell has every value. Beyond a season the latest whole one is read.

    It is direct, one regression a lead, rather than one regression iterated: where the model is not the
    process, iterating adds its errors up (Taieb and Atiya 2016). On New York's taxi flow with
    ``lags=4, seasonal_lags=("7D",)``, without the d_j, the squared error four steps ahead is 0.064 direct and
    0.105 iterated; on anomalies from the mean week the two agree. The d_j, as in the product of a seasonal
    and an ordinary autoregression, bring it to 0.052. Anomalies forecast better than the flow:
    ``GridPipeline([("week", SeasonalAnomaly("7D")), ("ar", Autoregression(4, seasonal_lags=("1D",)))])``.

    A series that is not in memory is read some cells at a time: once for every 128 MiB (float64: 256) of it,
    or less often if a chunk of its store holds few cells. That is done in ``fit``, and again when a longer
    forecast is first asked for, for all of its leads.

    Args:
        lags: Last frames that are read.
        seasonal_lags: Pandas offsets, whole numbers of steps, e.g. ``("1D", "7D")``.
        ridge: Penalty on the squared coefficients, not on c, in the squared units of the series: the alpha
            of scikit-learn's Ridge. 0 is ordinary least squares, of dependent regressors the smallest
            solution, each regressor taken at unit length.
        time_dim: Name of the time dim, if it cannot be told.
        spatial_dims: Names of rows and columns, if they cannot be told.
        channel_dim: Name of the channel dim, if it cannot be told.

    Source:
        Taieb and Atiya (2016), IEEE Trans. Neural Netw. Learn. Syst. 27, 62-76, for direct and iterated
        forecasts; Box and Jenkins (1970), Time Series Analysis, chapter 9, for the seasonal terms.

    >>> import pandas as pd, xarray as xr
    >>> time = pd.date_range("2024-01-01", periods=9, freq="h")
    >>> level = xr.DataArray(0.5 ** np.arange(9.0), {"time": time}, ("time",)).expand_dims(y=1, x=1)
    >>> (Autoregression(1).fit(level).predict(2) * 2**10).values.ravel().round(6)
    array([2., 1.])
    """

    seasons_: tuple[int, ...]  # steps

    def __init__(
        self,
        lags: int = 4,
        *,
        seasonal_lags: Sequence[str] = (),
        ridge: float = 0.0,
        time_dim: str | None = None,
        spatial_dims: tuple[str, str] | None = None,
        channel_dim: str | None = None,
    ) -> None:
        super().__init__(time_dim=time_dim, spatial_dims=spatial_dims, channel_dim=channel_dim)
        self.lags = lags
        self.seasonal_lags = seasonal_lags
        self.ridge = ridge

    def _learn(self, rows: Rows) -> None:
        positive(self.lags, "lags")
        if isinstance(self.seasonal_lags, str):
            raise ValueError(
                f"seasonal_lags={self.seasonal_lags!r} came, where several are wanted. Pass them as "
                f"({self.seasonal_lags!r},)."
            )
        if self.ridge < 0:
            raise ValueError(f"ridge={self.ridge!r} came; it wants a number of at least 0.")
        self.seasons_ = tuple(period_steps(period, self.step_) for period in self.seasonal_lags)
        self._regressions: dict[int, np.ndarray] = {}
        self.coefficients(1)

    def offsets(self, lead: int) -> np.ndarray:
        """Steps from the last frame to each that a lead's forecast reads: 0 and below, in order."""
        recent = np.arange(self.lags)
        read = [-recent]
        for season in self.seasons_:
            back = season * -(-lead // season)  # the latest season that was seen whole
            read += [[lead - back], -back - recent]
        return np.unique(np.concatenate(read))

    def coefficients(self, lead: int) -> np.ndarray:
        """(1 + offset, component): c, then one for each of ``offsets``. They are found once.

        Raises:
            TooShortError: If a cell has fewer whole windows than coefficients, and ``ridge`` is 0.
        """
        check_is_fitted(self, "grid_")
        self._find([lead])
        return self._regressions[lead]

    def _find(self, leads: Iterable[int]) -> None:
        """The coefficients of all these leads: a series that is not in memory is read for all at once."""
        read = {lead: np.append(self.offsets(lead), lead) for lead in leads if lead not in self._regressions}
        if not read:
            return
        n_components = self.grid_.n_components
        found = {lead: np.empty((len(rows), n_components)) for lead, rows in read.items()}
        windows = {lead: np.empty(n_components, dtype=int) for lead in read}
        for components, values in self._rows(self.training_).of_cells(CELLS):
            for lead, rows in read.items():
                found[lead][:, components], windows[lead][components] = self._regress(values, rows)
        for lead, rows in read.items():
            self._require_windows(windows[lead], rows)
            self._regressions[lead] = found[lead]

    def _regress(self, values: np.ndarray, read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(coefficient, component), and the number of whole windows of each."""
        n = max(0, len(values) - int(read[-1] - read[0]))
        starts = read - read[0]
        found = np.empty((len(read), values.shape[1]))
        windows = np.empty(values.shape[1], dtype=int)
        for cells in _blocks(values.shape[1], len(read) * max(1, n)):
            block = values[:, cells].T.astype(np.float64, order="C")
            found[:, cells], windows[cells] = _least_squares(block, starts, n, self.ridge)
        return found, windows

    def _require_windows(self, windows: np.ndarray, read: np.ndarray) -> None:
        wanted = 1 if self.ridge else len(read)
        mask = self.grid_.mask
        fewest = windows.min() if mask is None else windows[~mask.ravel()].min()
        if fewest < wanted:
            length = read[-1] - read[0] + 1
            raise TooShortError(
                f"{self!r} found {fewest} whole windows of {length} frames in some or all cells "
                f"of the training series, for {len(read)} coefficients of lead {read[-1]}. Fit on a longer "
                f"series, read fewer lags, pass ridge=1.0, or forecast fewer frames."
            )

    def _reads(self, past: Past) -> np.ndarray:
        read = [self.offsets(lead) for lead in range(1, past.horizon + 1)]
        return np.maximum(past.origins[:, None] + np.unique(np.concatenate(read)), -1)

    def _frames(self, past: Past, reads: np.ndarray, seen: Held) -> np.ndarray:
        self._find(range(1, past.horizon + 1))
        frames = np.empty((len(past.origins), past.horizon, self.grid_.n_components))
        for lead in range(1, past.horizon + 1):
            constant, *slopes = self.coefficients(lead)
            frames[:, lead - 1] = constant
            for offset, slope in zip(self.offsets(lead), slopes, strict=True):
                frames[:, lead - 1] += slope * seen[past.origins + offset]
        return frames


def _blocks(cells: int, values_a_cell: int) -> Iterator[slice]:
    n = max(1, BLOCK // values_a_cell)
    return (slice(start, min(start + n, cells)) for start in range(0, cells, n))


def _least_squares(
    values: np.ndarray, starts: np.ndarray, n: int, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """(coefficient, component), the constant first, and the number of whole windows of each cell.

    Args:
        values: (component, row); NaN is what was not observed.
        starts: Where the regressors' rows start and, last, the target's.
        n: Windows, with those that are not whole.
        ridge: Penalty.
    """
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    mean = values.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    # Without their mean the columns are less alike, and the normal equations lose fewer digits.
    centred = np.where(known, values - mean[:, None], 0.0)
    columns = np.stack([centred[:, start : start + n] for start in starts], axis=1)
    whole = np.logical_and.reduce([known[:, start : start + n] for start in starts])
    if not whole.all():
        columns *= whole[:, None]
    windows = whole.sum(axis=1)
    rest = columns.sum(axis=2) / np.maximum(windows, 1)[:, None]
    products = columns @ columns.transpose(0, 2, 1)
    rounding = 1e-12 * np.diagonal(products, axis1=1, axis2=2)
    rounding += (windows * (1e-12 * np.abs(values).max(axis=1, initial=0.0)) ** 2)[:, None]
    products -= windows[:, None, None] * rest[:, :, None] * rest[:, None, :]
    varies = np.diagonal(products, axis1=1, axis2=2) > rounding  # a constant regressor has no coefficient
    products *= varies[:, :, None] & varies[:, None, :]
    slopes = _solve(products[:, :-1, :-1], products[:, :-1, -1], ridge)
    centres = rest + mean[:, None]
    constant = centres[:, -1] - (slopes * centres[:, :-1]).sum(axis=1)
    return np.concatenate([constant[:, None], slopes], axis=1).T, windows


def _solve(gram: np.ndarray, moments: np.ndarray, ridge: float) -> np.ndarray:
    """(component, regressor)."""
    gram = gram + ridge * np.eye(gram.shape[1])
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    lengths[lengths == 0] = 1.0
    inverse = np.linalg.pinv(gram / lengths[:, :, None] / lengths[:, None, :], rcond=SMALLEST, hermitian=True)
    return (inverse @ (moments / lengths)[:, :, None])[..., 0] / lengths
