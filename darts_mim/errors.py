"""What can go wrong, by name. Each message says what came, what was wanted and what to do."""


class GridDimsError(ValueError):
    """Which dims are time, rows, columns and channel cannot be told, are absent, or share a label."""


class GridMismatchError(ValueError):
    """Two grids that should be one differ in size, coordinates or channels."""


class TimeAxisError(ValueError):
    """The times are unsorted, repeated or not on a regular step."""


class GapError(ValueError):
    """No whole window is left, or the frames to forecast from hold NaN or a missing time."""


class TooShortError(ValueError):
    """A series has too few frames to fit on or to forecast from."""


class NotScaledWarning(UserWarning):
    """The data are far from unit scale, where a network trains badly."""


class LeakError(ValueError):
    """A forecast was made with knowledge of the frames that it is scored on."""


class LeakWarning(UserWarning):
    """Forecasts look as if they were made with knowledge of the frames that they are scored on."""


class DamagedStoreError(OSError):
    """Frames of a store cannot be read, or it cannot be told whether those that are read are data."""


class StoreChangedError(DamagedStoreError):
    """A store is not as it was when it was opened."""


class AbsentChunksWarning(UserWarning):
    """Chunks are absent from a store, and zarr reads fill values in their place."""


class CostlyStoreWarning(UserWarning):
    """The chunks of a store make training read it many times over."""
