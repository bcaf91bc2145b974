"""The shelf: model files in a folder, rebuilt from their verified tensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agd import registry
from agd.db.connection import Transaction
from agd.db.record import models
from agd.errors import ModelError, NotFoundError

if TYPE_CHECKING:
    from agd.protocols import Oracle, ToldOracle
    from agd.types import Counts, Prediction


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What is needed to rebuild a model from its file; `told_by` is the model whose answers it takes, if it does."""

    group: str
    plugin: str
    architecture_version: int
    options: Mapping[str, Any]
    tensors_sha256: str
    told_by: "ModelRef | None" = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain values, as `asdict` gives them."""
        told_by = values.get("told_by")
        return cls(**{**values, "told_by": None if told_by is None else cls.of(told_by)})

    def files(self) -> list[str]:
        """The hashes of its file, and of those of the models that it asks."""
        return [self.tensors_sha256, *([] if self.told_by is None else self.told_by.files())]


@dataclass(frozen=True, slots=True)
class Told:
    """An oracle with the model whose answers it takes."""

    oracle: "ToldOracle"
    by: "Oracle"

    def label(self, counts: "Counts") -> "Prediction":
        """`[n, 103]` counts to values `[n]`; what the other has seen it answers by models that had not."""
        return self.oracle.label_told(counts, self.by.label(counts).values)


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
        key = json.dumps([ref.plugin, *ref.files(), ref.options], sort_keys=True)
        if key not in self._loaded:
            rebuilt = self._rebuilt(ref)
            self._loaded[key] = rebuilt if ref.told_by is None else Told(rebuilt, self.load(ref.told_by))
        return self._loaded[key]

    def _rebuilt(self, ref: ModelRef) -> Any:
        from agd import plugin_faults
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
    groups = {
        "autoencoder": "agd.generators",
        "generator": "agd.formula_generators",
        "structure_oracle": "agd.structure_oracles",
    }
    return groups.get(kind, "agd.oracles")


def model_ref(tx: Transaction, model_version_id: int) -> ModelRef:
    """Where to find that model version; raises NotFoundError where there is none."""
    row = models.find_model(tx, model_version_id=model_version_id)
    if row is None:
        raise NotFoundError(f"no model version {model_version_id}")
    told_by = None if row.input_model_version_id is None else model_ref(tx, row.input_model_version_id)
    return ModelRef(group_of(row.kind), row.plugin, row.architecture_version, row.options, row.tensors_sha256, told_by)
