"""The loop over scans: which are visited by which process, in which order, and how."""

import pytest
import torch
from monai.data import Dataset
from torch import nn

from common.engines import each_scan

SCANS = ["d", "a", "c", "b", "e"]


@pytest.fixture
def dataset():
    return Dataset([{"scan": scan, "image": torch.full((1, 2, 2, 2), float(ord(scan)))} for scan in SCANS])


def visited(dataset, network=None, **settings):
    network = network or nn.Conv3d(1, 1, 1)
    return list(each_scan(dataset, network, "cpu", what="test", progress=False, **settings))


def test_every_scan_comes_with_its_image_in_evaluation_mode(dataset):
    network = nn.Conv3d(1, 1, 1).train()
    found = visited(dataset, network)
    assert [scan for scan, _ in found] == SCANS
    assert all((image == ord(scan)).all() for scan, image in found)
    assert not network.training


def test_some_scans_come_in_the_order_asked_for(dataset):
    assert [scan for scan, _ in visited(dataset, scans=["b", "d"])] == ["b", "d"]
    assert visited(dataset, scans=[]) == []


def test_processes_share_the_scans_out(dataset, monkeypatch):
    shares = []
    monkeypatch.setattr("common.engines.scans.idist.get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr("common.engines.scans.idist.get_rank", lambda rank=rank: rank)
        shares.append([scan for scan, _ in visited(dataset, share=True)])
        assert [scan for scan, _ in visited(dataset)] == SCANS
    assert shares == [["d", "c", "e"], ["a", "b"]]


def test_images_are_read_one_by_one(dataset):
    read = []
    dataset.transform = lambda item: read.append(item["scan"]) or item
    for scan, _ in each_scan(dataset, nn.Conv3d(1, 1, 1), "cpu", what="test", progress=False):
        assert read[-1] == scan
