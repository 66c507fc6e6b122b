"""What is read of a `.pt2` file: JSON and raw numbers, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from zipfile import ZipFile

import torch
from torch import Tensor

DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""By the number that the file has for them."""


class ExportedArchive:
    """A graph and its tensors, in an open zip file."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._root = archive.namelist()[0].split("/")[0]
        self._configs: dict[str, dict[str, Any]] = {}

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the archive."""
        content: dict[str, Any] = json.loads(self._archive.read(f"{self._root}/{name}"))
        return content

    def read_tensor(self, kind: str, given: Mapping[str, Any]) -> Tensor:
        """The tensor of a parameter, buffer or constant of the signature."""
        name = given[f"{kind}_name"]  # KeyError: a custom object
        for folder, label in (("weights", "weights"), ("constants", "constants")):
            config = self._config(folder, f"data/{folder}/model_{label}_config.json")
            if name in config:
                return self._read_raw(folder, name, config[name])
        raise ValueError(f"it has no {kind} {name}")

    def _config(self, folder: str, path: str) -> dict[str, Any]:
        if folder not in self._configs:
            self._configs[folder] = self.read_json(path)["config"]
        return self._configs[folder]

    def _read_raw(self, folder: str, name: str, entry: Mapping[str, Any]) -> Tensor:
        if entry["use_pickle"]:
            raise ValueError(f"its {name} is pickled")
        meta = entry["tensor_meta"]
        numbers = self._archive.read(f"{self._root}/data/{folder}/{entry['path_name']}")
        sizes, strides = ([n["as_int"] for n in meta[key]] for key in ("sizes", "strides"))
        if not numbers:
            return torch.zeros(sizes, dtype=DTYPES[meta["dtype"]])
        flat = torch.frombuffer(bytearray(numbers), dtype=DTYPES[meta["dtype"]])
        return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"]).clone()
