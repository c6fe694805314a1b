"""Windows of gridded series as a darts training dataset."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from darts_mim.errors import GapError, TimeAxisError, TooShortError
from darts_mim.grid.windows import MISSING, WindowCount, row_kinds, whole_windows
from darts_mim.models._compat import (
    SequentialTorchTrainingDataset,
    TimeSeries,
    TorchTrainingDataset,
    TorchTrainingSample,
)
from darts_mim.models.crops import Crops
from darts_mim.models.lazy_series import LazyTimeSeries, values_of
from darts_mim.models.reading import Reading, shuffled
from darts_mim.models.seasonal_lags import lags_of


class GridTrainingDataset(TorchTrainingDataset):
    """Every whole window of every series, each once; the rest is left out and counted.

    darts pads short series by drawing them more often and trains on NaN without a word; here a window
    that touches a missing time, or a NaN outside the mask, or that its covariates do not cover, is never
    drawn.

    Args:
        series: Targets on a regular time axis, missing times as rows of NaN.
        past_covariates: One a series, or None.
        future_covariates: One a series, or None.
        masked: True for the components of the target that are never observed; None if none is so.
        input_chunk_length: Frames read.
        output_chunk_length: Frames forecast.
        stride: Frames between windows, counted from the end of a series as in darts.
        max_samples_per_ts: Windows of one series at most, the latest ones.
        sample_weight: As in darts.
        use_static_covariates: As in darts.
        time_reversal: Draw every window a second time with time reversed (docs/paper.md, row R15).
        crops: Draw a part of the grid instead of the whole; None for the whole.
        crops_per_window: How many parts of each window are drawn in an epoch.

    Attributes:
        count: How many windows there are; windows that lack covariates count as holding NaN.

    Raises:
        TooShortError: If no series is as long as a window.
        TimeAxisError: If covariates are on another step than their series.
        GapError: If every window touches a gap or NaN.
    """

    def __init__(
        self,
        series: Sequence[TimeSeries],
        past_covariates: Sequence[TimeSeries] | None,
        future_covariates: Sequence[TimeSeries] | None,
        *,
        masked: np.ndarray | None = None,
        input_chunk_length: int,
        output_chunk_length: int,
        stride: int = 1,
        max_samples_per_ts: int | None = None,
        sample_weight: Sequence[TimeSeries] | str | None = None,
        use_static_covariates: bool = False,
        time_reversal: bool = False,
        crops: Crops | None = None,
        crops_per_window: int = 1,
    ) -> None:
        super().__init__()
        self.length = input_chunk_length + output_chunk_length
        self.input_chunk_length = input_chunk_length
        self.time_reversal = time_reversal
        self.crops, self.crops_per_window = crops, crops_per_window
        self.seed = 0  # of the crops, another in each epoch
        longest = max(len(one) for one in series)
        if longest < self.length:
            raise TooShortError(
                f"The longest series has {longest} frames; one window needs {self.length} "
                f"(input_chunk_length {input_chunk_length} + output_chunk_length {output_chunk_length}). "
                f"Pass a longer series or shorten the chunks."
            )
        self.windows = SequentialTorchTrainingDataset(
            series=series,
            past_covariates=past_covariates,
            future_covariates=future_covariates,
            input_chunk_length=input_chunk_length,
            output_chunk_length=output_chunk_length,
            use_static_covariates=use_static_covariates,
            sample_weight=sample_weight,
        )
        self.count = WindowCount(total=0, used=0, gap=0, nan=0)
        covariates = ((past_covariates, input_chunk_length), (future_covariates, self.length))
        indices: list[np.ndarray] = []
        used: list[np.ndarray] = []  # starts of windows, as rows
        for k, target in enumerate(series):
            skipped = max(0, len(target) - self.length) % stride
            kinds = _kinds(target, masked)[skipped:]
            whole, count = whole_windows(kinds, self.length, stride=stride)
            starts = whole + skipped
            for several, length in covariates:
                if several is not None:
                    starts = np.intersect1d(starts, _covered(target, several[k], length))
            # darts counts the windows of a series from its end
            from_end = (len(target) - self.length - starts)[::-1][:max_samples_per_ts]
            self.count += replace(count, used=len(from_end), nan=count.nan + len(whole) - len(starts))
            indices.append(k * self.windows.max_samples_per_ts + from_end)
            used.append(len(target) - self.length - from_end)
        self.indices = np.concatenate(indices)
        if not len(self.indices):
            raise GapError(
                f"No window is whole: {self.count}. Fill the gaps, e.g. .interpolate_na('time'), extend the "
                f"covariates over the series, or shorten the chunks (a window has {self.length} frames)."
            )
        frames = [one.frames if isinstance(one, LazyTimeSeries) else None for one in series]
        for one in frames:
            if one is not None:
                one.warn_if_costly(self.length, None if crops is None else crops.size)
        self.reading = None
        if any(one is not None for one in frames):
            back = lags_of(future_covariates[0]) if future_covariates else ()
            self.reading = Reading(frames, used, length=self.length, back=back)

    def __len__(self) -> int:
        return len(self.indices) * (2 if self.time_reversal else 1) * self.crops_per_window

    def __getitem__(self, index: int) -> TorchTrainingSample:
        """A window; further on the indices give the windows again, backwards, and other parts of them."""
        turn, position = divmod(index, len(self.indices))
        sample = self.windows[int(self.indices[position])]
        if self.time_reversal and turn % 2:
            sample = self._reversed(sample)
        if self.crops is not None:
            sample = self.crops.cut(sample, np.random.default_rng([self.seed, index]))
        if self.reading is not None:
            self.reading.drawn(position)
        return sample

    def order(self, seed: int) -> Sequence[int]:
        """All indices, shuffled: of series in memory as torch does it, of others block by block."""
        self.seed = seed
        if self.reading is None:
            return shuffled(len(self), seed).tolist()
        return self.reading.order(np.arange(len(self)) % len(self.indices), seed).tolist()

    def announce(self, indices: Sequence[int]) -> None:
        """Say which indices will be drawn, in this order, so that frames are read ahead; none ends that."""
        if self.reading is not None:
            self.reading.announce(np.asarray(indices, dtype=int) % len(self.indices))

    def _reversed(self, sample: TorchTrainingSample) -> TorchTrainingSample:
        past, future = self._flip(sample.past_target, sample.future_target)
        sample = sample.replace(past_target=past, future_target=future)
        if sample.future_covariates is not None:
            historic, known = self._flip(sample.historic_future_covariates, sample.future_covariates)
            sample = sample.replace(historic_future_covariates=historic, future_covariates=known)
        if sample.sample_weight is not None:
            mean = sample.sample_weight.mean(axis=0, keepdims=True)
            sample = sample.replace(sample_weight=np.broadcast_to(mean, sample.sample_weight.shape).copy())
        return sample

    def _flip(self, past: np.ndarray | None, future: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        assert past is not None and future is not None
        backwards = np.ascontiguousarray(np.concatenate([past, future])[::-1])
        return backwards[: self.input_chunk_length], backwards[self.input_chunk_length :]


def _covered(target: TimeSeries, covariates: TimeSeries, length: int) -> np.ndarray:
    """Which frames of the target begin ``length`` frames over which all covariates are known."""
    if covariates.freq != target.freq:
        raise TimeAxisError(
            f"The covariates are on a step of {covariates.freq_str}, the series of {target.freq_str}. Bring "
            f"them to one, e.g. .resample(time=...)."
        )
    kinds = pd.Series(_kinds(covariates), index=covariates.time_index)
    starts, _ = whole_windows(kinds.reindex(target.time_index, fill_value=MISSING).to_numpy(), length)
    return starts


def _kinds(series: TimeSeries, masked: np.ndarray | None = None) -> np.ndarray:
    """What each frame is good for; frames that are not in memory know their mask."""
    if isinstance(series, LazyTimeSeries):
        return series.frames.kinds
    return row_kinds(values_of(series), masked)
