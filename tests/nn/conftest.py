import pytest
import torch


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """As many threads as torch computes with."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
