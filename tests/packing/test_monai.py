"""What is packed, as MONAI downloads it; and what MONAI does with archives that are not as they should be."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace
from zipfile import BadZipFile, ZipFile

import pytest
from monai.bundle import download, scripts

from common import __version__
from tests.bundles.test_metadata import BUNDLES
from tests.packing.repositories import write

pytestmark = pytest.mark.filterwarnings("ignore:No hash value provided")


@pytest.fixture
def github(packed, serve, monkeypatch):
    """Has MONAI take a server on this computer for GitHub; returns the addresses of the former that it asks for."""
    server, asked = serve(packed.folder), []

    def get(url):
        asked.append(url)
        text = (packed.folder / url.rsplit("/", 1)[-1]).read_text()
        return SimpleNamespace(text=text, raise_for_status=lambda: None)

    def release_url(owner, repository, tag_name, filename):
        asked.append(f"{owner}/{repository}/{tag_name}/{filename}")
        return f"{server}/{filename}"

    monkeypatch.setattr(scripts, "has_requests", True)
    monkeypatch.setattr(scripts, "requests", SimpleNamespace(get=get))
    monkeypatch.setattr(scripts, "_get_git_release_url", release_url)
    return asked


def test_all_bundles_are_small_without_weights(packed):
    assert [path.name for path in packed.zips] == [f"{bundle}_v{packed.version}.zip" for bundle in BUNDLES]
    assert all(path.stat().st_size <= 3e6 for path in packed.zips)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_downloaded_from_a_server(bundle, packed, project, serve, tmp_path):
    name = f"{bundle}_v{packed.version}.zip"
    download(name=bundle, bundle_dir=tmp_path, url=f"{serve(packed.folder)}/{name}", progress=False)
    for file in ("configs/train.json", "configs/logging.conf", "LICENSE"):
        assert (tmp_path / bundle / file).read_bytes() == (project / "bundles" / bundle / file).read_bytes()
    for file in ("common/__init__.py", "common/generalists/embedded/data/prompt_unet.pt"):
        assert (tmp_path / bundle / file).read_bytes() == (project / file).read_bytes()
    assert (tmp_path / bundle / "common" / "LICENSE").read_bytes() == (project / "LICENSE").read_bytes()


def test_found_at_github(packed, github, tmp_path):
    download(
        name="fmabs_la", bundle_dir=tmp_path, source="github", repo=f"somebody/bundles/v{__version__}", progress=False
    )
    assert github == [
        f"https://raw.githubusercontent.com/somebody/bundles/v{__version__}/models/model_info.json",
        f"somebody/bundles/v{__version__}/fmabs_la_v{__version__}.zip",
    ]
    assert (tmp_path / "fmabs_la" / "configs" / "metadata.json").is_file()


def test_the_index_is_read_by_monai(packed, github):
    place = {"repo": "somebody/bundles", "tag": f"v{__version__}"}
    assert sorted(scripts.get_all_bundles_list(**place)) == [(bundle, packed.version) for bundle in BUNDLES]
    info = scripts.get_bundle_info("sfr_retrain", **place)
    assert info["browser_download_url"] == (
        f"https://github.com/somebody/bundles/releases/download/v{__version__}/sfr_retrain_v{__version__}.zip"
    )
    entry = json.loads((packed.folder / "model_info.json").read_text())[f"sfr_retrain_v{__version__}"]
    assert (
        entry["checksum"]
        == hashlib.sha256((packed.folder / f"sfr_retrain_v{__version__}.zip").read_bytes()).hexdigest()
    )


class TestWhatFetchBundleIsFor:
    """MONAI's own download: safe against paths upwards, but not against these. It is not ours to mend."""

    @pytest.fixture
    def fetch(self, serve, tmp_path):
        (tmp_path / "release").mkdir()

        def download_toy(files, cut=None):
            path = tmp_path / "release" / "toy.zip"
            with ZipFile(path, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            path.write_bytes(path.read_bytes()[:cut])
            address = f"{serve(path.parent)}/toy.zip"
            download(name="toy", bundle_dir=tmp_path / "here", url=address, progress=False)

        return download_toy

    def test_a_path_upwards_is_refused(self, fetch, tmp_path):
        with pytest.raises(ValueError, match="Unsafe path"):
            fetch({"toy/../../evil.py": "evil"})
        assert not list(tmp_path.rglob("evil.py"))

    def test_a_path_beside_the_bundle_overwrites(self, fetch, tmp_path):
        write(tmp_path / "here", {"other/configs/train.json": "mine"})
        fetch({"toy/LICENSE": "free", "other/configs/train.json": "evil"})
        assert (tmp_path / "here/other/configs/train.json").read_text() == "evil"

    def test_a_zip_that_was_cut_off_stays_in_the_way(self, fetch, tmp_path):
        with pytest.raises(BadZipFile):
            fetch({"toy/LICENSE": "free"}, cut=20)
        with pytest.raises(BadZipFile):
            fetch({"toy/LICENSE": "free"})

    def test_an_old_folder_is_kept_without_an_error(self, fetch, tmp_path):
        write(tmp_path / "here", {"toy/LICENSE": "old"})
        fetch({"toy/LICENSE": "new"})
        assert (tmp_path / "here/toy/LICENSE").read_text() == "old"
