import numpy as np
import pytest

from darts_mim.diagnostics.residuals.gaps import gap_patterns


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_every_row_is_its_pattern(share):
    present = np.random.default_rng(0).random((40, 5)) >= share
    patterns, of_row = gap_patterns(present)
    np.testing.assert_array_equal(patterns[of_row], present)
    assert len(patterns) == len({tuple(row) for row in present.tolist()})
