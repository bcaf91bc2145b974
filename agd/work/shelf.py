"""The shelf: model files in a folder, rebuilt from their verified tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agd import plugin_faults, registry
from agd.db.connection import Transaction
from agd.db.record import models
from agd.errors import ModelError, NotFoundError


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What is needed to rebuild a model from its file."""

    group: str
    plugin: str
    architecture_version: int
    options: Mapping[str, Any]
    tensors_sha256: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of model files; models stay loaded once used."""

    folder: Path
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    def load(self, ref: ModelRef) -> Any:
        """The generator or oracle, rebuilt from its verified tensors.

        Raises:
            ModelError: the file is missing or altered, or of another architecture than the installed plug-in.
        """
        key = json.dumps([ref.plugin, ref.tensors_sha256, ref.options], sort_keys=True)
        if key not in self._loaded:
            self._loaded[key] = self._rebuilt(ref)
        return self._loaded[key]

    def _rebuilt(self, ref: ModelRef) -> object:
        from agd.nets.checkpoint import load_tensors

        plugin = registry.load(ref.group, ref.plugin)
        if plugin.architecture_version != ref.architecture_version:
            raise ModelError(
                f"model {ref.tensors_sha256[:12]} ({ref.plugin}) is of architecture {ref.architecture_version}, the "
                f"installed plug-in of {plugin.architecture_version}: install the agd that made it, or open a new "
                "campaign"
            )
        tensors = load_tensors(self.folder, ref.tensors_sha256)
        options = plugin.options_type.model_validate_json(json.dumps(ref.options))
        with plugin_faults.blamed(ref.group, ref.plugin, "load"):
            model = plugin.load(tensors, options)
        return plugin_faults.guarded(ref.group, ref.plugin, model)


def group_of(kind: str) -> str:
    """The group of plug-ins that models of a kind are made by: a screener is an oracle that is not believed."""
    return {"autoencoder": "agd.generators", "generator": "agd.formula_generators"}.get(kind, "agd.oracles")


def model_ref(tx: Transaction, model_version_id: int) -> ModelRef:
    """Where to find that model version; raises NotFoundError where there is none."""
    row = models.find_model(tx, model_version_id=model_version_id)
    if row is None:
        raise NotFoundError(f"no model version {model_version_id}")
    return ModelRef(group_of(row.kind), row.plugin, row.architecture_version, row.options, row.tensors_sha256)
