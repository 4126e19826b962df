"""The study's images and the labels that people save, in MONAI Label's own form."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from filelock import FileLock
from monailabel.config import settings
from monailabel.datastore.local import DataModel, LocalDatastore

from common.files import NIFTI_SUFFIXES, replacing


@dataclass(frozen=True)
class Saved:
    """A label that was saved.

    Attributes:
        file: Its file.
        tag: Its tag: "final" for annotations.
        info: What the client said of it.
    """

    file: Path
    tag: str
    info: dict[str, Any]


class StudyDatastore(LocalDatastore):
    """A folder of NIfTI images, whose labels are saved whole or not at all.

    Args:
        folder: The study's folder.

    Attributes:
        saved: The label that was saved last.
    """

    def __init__(self, folder: str) -> None:
        self.saved: Saved | None = None
        super().__init__(
            folder,
            extensions=[f"*{suffix}" for suffix in NIFTI_SUFFIXES],
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
        )

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Saves a label and what is known of it; if that fails, a former label stays as it is."""
        if image_id not in self._datastore.objects:
            raise HTTPException(404, f"{image_id}: no image of this study has this id, so the label is not saved.")
        suffix = next((it for it in NIFTI_SUFFIXES if label_filename.endswith(it)), None)
        if suffix is None:
            raise HTTPException(
                400, f"{image_id}: expected a label as .nii.gz or .nii, found {Path(label_filename).name}."
            )
        file = Path(self._datastore.label_path(label_tag), image_id + suffix)
        info = dict(label_info or {}) | {"ts": int(time.time()), "name": file.name}
        try:
            with FileLock(self._lock_file):
                with replacing(file) as temporary:
                    shutil.copyfile(label_filename, temporary)
                self._datastore.objects[image_id].labels[label_tag] = DataModel(info=info, ext=suffix)
                self._update_datastore_file(lock=False)
        except OSError as error:
            raise HTTPException(
                507,
                f"{image_id}: expected to save the label, found that it cannot be written ({error}); "
                "make room on the server's disk and save it again.",
            ) from error
        self.saved = Saved(file, label_tag, info)
        return image_id

    def set_aside(self, image_id: str, tag: str) -> None:
        """Keeps a scan's final label under another tag, so that the scan counts as not labelled."""
        saved = self.saved
        self.save_label(image_id, self.get_label_uri(image_id, "final"), tag, saved.info if saved else {})
        Path(self.get_label_uri(image_id, "final")).unlink(missing_ok=True)
        with FileLock(self._lock_file):
            self._datastore.objects[image_id].labels.pop("final", None)
            self._update_datastore_file(lock=False)

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Writes the list of images and labels, whole or not at all."""
        if lock:
            with FileLock(self._lock_file):
                return self._update_datastore_file(lock=False)
        self._ignore_event_config = True
        text = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        with replacing(self._datastore_config_path) as temporary:
            temporary.write_text(text)
        self._config_ts = os.stat(self._datastore_config_path).st_mtime
        return None
